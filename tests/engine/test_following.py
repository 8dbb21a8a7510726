"""Weights that follow others after each step: by hand over three steps, and the same in both engines in double precision."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from fedkd.clients import Situation, Stage
from fedkd.clients.dml import DML
from fedkd.clients.pcl import PCL
from fedkd.data.samples import Samples
from fedkd.engine.cohort import Networks, Source
from fedkd.engine.sequential import run_stage
from fedkd.engine.vectorised import run_stage_together
from fedkd.foundation.seeding import Streams
from fedkd.models.peer_branches import PeerBranches
from fedkd.tasks import Classification
from fedkd.training import Fit, Optimizer

MODEL = PeerBranches(trunk=(6,), branch=(5,), peers=2)
SIZES = (20, 3, 0, 9)
OMEGA = torch.tensor(0.7, dtype=torch.float64)


def samples(size: int = 20) -> Samples:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(size, 1, 4, 4, generator=generator).double()
    return Samples({"image": inputs}, torch.randint(3, (size,), generator=generator), torch.arange(size))


def networks(count: int) -> list[nn.Module]:
    with Streams(0).initialising("networks"):
        return [MODEL.network((1, 4, 4), 3).double() for _ in range(count)]


def stage(decay: float, **plan: int) -> Stage:
    fit = Fit(batch_size=5, optimizer=Optimizer(lr=0.1, momentum=0.9), **plan)
    [one] = PCL(fit=fit, decay=decay).stages(Situation(first=True, received=None, start={}))
    return one


def alone(one: Stage, network: nn.Module, own: Samples, client: int = 0) -> dict[str, Tensor]:
    run_stage(
        one, network, own, teacher=None, memory={"omega": OMEGA}, task=Classification(),
        generator=Streams(0).torch("order", client=client),
    )  # fmt: skip
    return dict(network.state_dict())


@pytest.mark.parametrize(("decay", "shares"), [(0.999, (1 / 3, 1 / 3, 1 / 3)), (0.5, (0.25, 0.25, 0.5))])
def test_the_mean_after_three_steps_is_that_of_the_weights_after_each(
    decay: float, shares: Sequence[float]
) -> None:
    after = [alone(stage(decay, max_steps=steps), networks(1)[0], samples()) for steps in (1, 2, 3)]
    assert float(after[-1]["steps"]) == 3.0
    followed = [name for name in after[0] if name.startswith("mean.")]
    assert len(followed) == 10
    for name in followed:
        own = "peers." + name.removeprefix("mean.")
        expected = sum(share * one[own] for share, one in zip(shares, after, strict=True))
        torch.testing.assert_close(after[-1][name], expected, rtol=1e-12, atol=1e-12)
        assert not torch.equal(after[-1][own], after[0][own])


def test_both_engines_move_means_alike_for_clients_of_any_size() -> None:
    one, pool = stage(0.8, epochs=2), samples()
    positions = [torch.arange(size) for size in SIZES]
    stacks = [dict(network.named_parameters()) for network in networks(len(SIZES))]
    trained, frozen = (
        {
            name: torch.stack([each[name].detach() for each in stacks])
            for name, weight in stacks[0].items()
            if weight.requires_grad == learns
        }
        for learns in (True, False)
    )
    run_stage_together(
        one,
        Networks(networks(1)[0], trained, frozen, {}),
        Source(pool.inputs, pool.targets, positions),
        memory={"omega": OMEGA.expand(len(SIZES))},
        task=Classification(),
        generators=[Streams(0).torch("order", client=client) for client in range(len(SIZES))],
    )
    for client, network in enumerate(networks(len(SIZES))):
        for name, weight in alone(one, network, pool.take(positions[client]), client).items():
            torch.testing.assert_close((trained | frozen)[name][client], weight, rtol=1e-10, atol=1e-10)
    assert frozen["steps"].flatten().tolist() == [8.0, 2.0, 0.0, 4.0]


def test_where_no_rule_is_named_weights_that_do_not_learn_stay() -> None:
    plain = Stage("train", "private", DML().train_loss, Fit(batch_size=5))
    [network] = networks(1)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    after = alone(plain, network, samples())
    still = [name for name in after if name == "steps" or name.startswith("mean.")]
    assert all(torch.equal(after[name], before[name]) for name in still)
    assert not torch.equal(after["peers.trunk.0.weight"], before["peers.trunk.0.weight"])
