"""A stage of many clients at once against one after the other, in double precision: any plan, any sizes, odd networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fedkd.clients import Stage, Step, samplewise
from fedkd.data.samples import Samples
from fedkd.engine.cohort import Networks, Source
from fedkd.engine.sequential import run_stage
from fedkd.engine.vectorised import run_stage_together
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Model
from fedkd.models.lenet import LeNet
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.models.resnet import ResNet
from fedkd.models.sign import SIGN
from fedkd.tasks import Classification
from fedkd.training import Fit, Optimizer

PLAN = Fit(
    epochs=1, batch_size=32, optimizer=Optimizer(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
)


OPTIMIZERS = st.one_of(
    st.builds(
        Optimizer,
        name=st.just("sgd"),
        lr=st.just(0.1),
        momentum=st.sampled_from([0.5, 0.9]),
        nesterov=st.booleans(),
        weight_decay=st.sampled_from([0.0, 0.01]),
        clip_norm=st.sampled_from([None, 0.5]),
    ),
    st.builds(
        Optimizer,
        name=st.sampled_from(["sgd", "adam", "adamw"]),
        lr=st.just(0.01),
        weight_decay=st.sampled_from([0.0, 0.1]),
        clip_norm=st.sampled_from([None, 0.5]),
    ),
)


PLANS = st.builds(
    Fit,
    epochs=st.integers(0, 3),
    batch_size=st.sampled_from([1, 5, 32]),
    max_steps=st.sampled_from([None, 1, 4]),
    optimizer=OPTIMIZERS,
    schedule=st.sampled_from(["constant", "cosine"]),
)


def coupled(step: Step) -> Tensor:
    """Compare the samples of a batch with each other, as relation losses do: short batches must not be filled up."""
    logits = step.outputs.logits
    centred = logits - logits.mean(dim=0, keepdim=True)
    return F.cross_entropy(logits, step.targets) + 0.1 * centred.square().sum() / len(logits) ** 2


@samplewise
def plain(step: Step) -> Tensor:
    return F.cross_entropy(step.outputs.logits, step.targets)


@dataclass(frozen=True)
class Case:
    """Networks of a cohort in double precision, and everything that a stage wants."""

    stage: Stage
    networks: list[nn.Module]
    samples: Samples
    positions: list[Tensor]
    dropping: bool = False

    def generators(self, purpose: str) -> list[torch.Generator]:
        return [Streams(0).torch(purpose, client=client) for client in range(len(self.networks))]

    def together(self) -> tuple[list[float], dict[str, Tensor]]:
        trained, frozen = {}, {}
        for name, weight in self.networks[0].named_parameters():
            stack = torch.stack([dict(one.named_parameters())[name].detach() for one in self.networks])
            (trained if weight.requires_grad else frozen)[name] = stack
        buffers = {
            name: torch.stack([dict(one.named_buffers())[name] for one in self.networks])
            for name, _ in self.networks[0].named_buffers()
        }
        losses = run_stage_together(
            self.stage,
            Networks(self.networks[0], trained, frozen, buffers),
            Source(self.samples.inputs, self.samples.targets, self.positions),
            memory={},
            task=Classification(),
            generators=self.generators("order"),
            dropout=self.generators("dropout") if self.dropping else (),
        )
        return losses, {**trained, **frozen, **buffers}

    def one_by_one(self) -> list[float]:
        drops = self.generators("dropout")
        return [
            run_stage(
                self.stage,
                network,
                self.samples.take(rows),
                teacher=None,
                memory={},
                task=Classification(),
                generator=generator,
                dropout=drops[client] if self.dropping else None,
            )
            for client, (network, rows, generator) in enumerate(
                zip(self.networks, self.positions, self.generators("order"), strict=True)
            )
        ]

    def require_same(self) -> None:
        losses, stacks = self.together()
        expected = self.one_by_one()
        assert losses == pytest.approx(expected, rel=1e-9, nan_ok=True)
        for client, network in enumerate(self.networks):
            for name, tensor in network.state_dict().items():
                torch.testing.assert_close(stacks[name][client], tensor, rtol=1e-10, atol=1e-10)


def case(
    build: Callable[[], nn.Module], loss: Callable[[Step], Tensor], plan: Fit, sizes: Sequence[int]
) -> Case:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(60, 1, 4, 4, generator=generator).double()
    targets = torch.randint(3, (60,), generator=generator)
    with Streams(0).initialising("networks"):
        networks = [build().double() for _ in sizes]
    positions = [torch.randperm(60, generator=generator)[:size] for size in sizes]
    samples = Samples({"image": inputs}, targets, torch.arange(60))
    return Case(Stage("train", "private", loss, plan), networks, samples, positions)


@settings(max_examples=40)
@given(
    plan=PLANS,
    sizes=st.lists(st.sampled_from([0, 1, 4, 5, 6, 32, 33, 50]), min_size=1, max_size=6),
    loss=st.sampled_from([plain, coupled]),
)
def test_any_plan_for_any_sizes_gives_the_same_weights_in_double_precision(
    plan: Fit, sizes: list[int], loss: Callable[[Step], Tensor]
) -> None:
    case(lambda: MLP(hidden=(5,)).network((1, 4, 4), 3), loss, plan, sizes).require_same()


@pytest.mark.parametrize(
    "model",
    [
        MLP(hidden=(16,)),
        Logistic(),
        LeNet(channels=(2, 3), kernel=3, hidden=8),
        ResNet(channels=(4, 8), groups=2),
        SIGN(hidden=4),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_model_gives_the_same_weights_in_double_precision(model: Model) -> None:
    case(lambda: model.network((1, 4, 4), 3), plain, replace(PLAN, epochs=3), [50, 1, 0, 7]).require_same()


class Dropping(nn.Module):
    """A network with dropout as a module, of channels, and as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.channels = nn.Conv2d(1, 4, 3, padding=1), nn.Dropout2d(0.5)
        self.whole, self.head = nn.Dropout(0.3), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.whole(self.channels(self.conv(x)).flatten(1))
        return self.head(F.alpha_dropout(y, 0.2, training=self.training))


def test_dropout_is_drawn_per_client_so_that_grouping_does_not_matter() -> None:
    plan = Fit(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.1, momentum=0.9))
    before = torch.get_rng_state()
    dropping = replace(case(Dropping, plain, plan, [50, 7, 16, 33]), dropping=True)
    dropping.require_same()
    assert torch.equal(torch.get_rng_state(), before)
    still = case(Dropping, plain, plan, [50, 7, 16, 33])
    for network in still.networks:
        network.whole.p = network.channels.p = 0.0
    assert not torch.equal(still.networks[0].head.weight, dropping.networks[0].head.weight)


class Partly(nn.Module):
    """A network with a frozen layer and a buffer of each client's own."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.head = nn.Linear(16, 8).requires_grad_(requires_grad=False), nn.Linear(8, 3)
        self.register_buffer("shift", torch.rand(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.frozen(x.flatten(1)) + self.shift))


def test_frozen_layers_and_buffers_are_each_clients_own_and_stay() -> None:
    one = case(Partly, plain, PLAN, [40, 3, 20])
    before = [network.frozen.weight.clone() for network in one.networks]
    one.require_same()
    assert all(
        torch.equal(network.frozen.weight, weight)
        for network, weight in zip(one.networks, before, strict=True)
    )


class Idle(nn.Module):
    """A network with a layer that no loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.head = nn.Linear(3, 3), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_weights_that_no_loss_reaches_do_not_decay(name: str) -> None:
    plan = Fit(
        epochs=2, batch_size=16, optimizer=Optimizer(name=name, lr=0.01, weight_decay=0.1, clip_norm=1.0)
    )
    one = case(Idle, plain, plan, [40, 3, 20])
    before = one.networks[0].idle.weight.clone()
    one.require_same()
    assert torch.equal(one.networks[0].idle.weight, before)
