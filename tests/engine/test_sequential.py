import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.clients import Stage, Step
from fedkd.data.federated import FederatedData
from fedkd.engine.sequential import run_stage
from fedkd.foundation.seeding import Streams
from fedkd.models.mlp import MLP
from fedkd.tasks import Classification
from fedkd.training import Fit, Optimizer

PLAN = Fit(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.1, momentum=0.9))


def test_a_stage_is_the_plain_loop_of_pytorch(digits: FederatedData) -> None:
    own = digits.client_train(0)
    with Streams(0).initialising("test"):
        network, plain = MLP().network((1, 8, 8), 10), MLP().network((1, 8, 8), 10)
    plain.load_state_dict(network.state_dict())
    stage = Stage("train", "private", lambda step: F.cross_entropy(step.outputs.logits, step.targets), PLAN)
    generator = torch.Generator().manual_seed(4)
    run_stage(stage, network, own, teacher=None, memory={}, task=Classification(), generator=generator)

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    order = torch.Generator().manual_seed(4)
    for _ in range(2):
        for rows in torch.randperm(len(own), generator=order).split(16):
            optimizer.zero_grad()
            F.cross_entropy(plain(own.inputs["image"][rows]).logits, own.targets[rows]).backward()
            optimizer.step()
    for weight, expected in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(weight, expected)


def test_a_loss_sees_the_batch_its_targets_its_teacher_and_what_was_remembered(digits: FederatedData) -> None:
    own = digits.client_train(1)
    teacher = F.one_hot(own.targets, 10).float()  # aligned with the targets, row by row
    seen: list[Step] = []

    def loss(step: Step) -> Tensor:
        seen.append(step)
        return step.outputs.logits.square().mean()

    with Streams(0).initialising("test"):
        network = MLP().network((1, 8, 8), 10)
    memory = {"word": torch.ones(3)}
    stage = Stage("digest", "proxy", loss, Fit(batch_size=10))
    run_stage(
        stage,
        network,
        own,
        teacher=teacher,
        memory=memory,
        task=Classification(),
        generator=torch.Generator(),
    )
    assert sum(len(step.targets) for step in seen) == len(own)
    for step in seen:
        assert step.teacher is not None
        assert torch.equal(step.teacher.argmax(-1), step.targets)
        assert step.memory is memory
        assert step.parameters.keys() == dict(network.named_parameters()).keys()
        assert step.outputs.logits.requires_grad
