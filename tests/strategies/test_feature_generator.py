"""The server of FedGen: how clients' last layers teach the generator, by hand and in rounds."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models._generator import Sizes, head_logits
from fedkd.strategies.feature_generator import FedGen, alikeness, taught
from fedkd.training import Optimizer

GridSaying = Callable[..., Grid]
LOG3 = math.log(3.0)
HEADS = {
    "head.weight": torch.tensor([[[LOG3, 0.0], [0.0, 0.0]], [[-LOG3, 0.0], [0.0, 0.0]]]),
    "head.bias": torch.zeros(2, 2),
}
"""Two clients who give the feature (1, 0) the logits (log 3, 0) and (-log 3, 0)."""


@pytest.mark.parametrize(
    ("teachers", "expected"),
    [
        ("mean_logits", math.log(2)),  # the logits cancel each other
        # Client 0 has three quarters of class 0: 3/4 log(4/3) + 1/4 log 4.
        ("by_label", 0.75 * math.log(4 / 3) + 0.25 * math.log(4)),
    ],
)
def test_last_layers_teach_by_their_mean_logits_or_each_by_its_share_of_the_label(
    teachers: Any, expected: float
) -> None:
    counts = torch.tensor([[3, 0], [1, 0]])
    loss = taught(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), HEADS, counts, teachers)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_features_that_are_all_the_same_are_alike_and_others_are_not() -> None:
    noise = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    assert float(alikeness(noise, torch.ones(2, 3))) == 1.0
    # Of four pairs two are a pair of different ones: squared distance 4 / 2, absolute distance 3 / 3.
    apart = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    assert float(alikeness(noise, apart)) == pytest.approx(math.exp(-(2 * 2.0 * 1.0) / 4))


def weights(scale: float) -> dict[str, Tensor]:
    return {"head.weight": scale * torch.eye(3), "head.bias": torch.zeros(3)}


def reply(sent: dict[str, Tensor], counts: list[int]) -> RecordDict:
    package = Package("labelled_weights", sent, counts=torch.tensor(counts))
    metrics = MetricRecord({"num-examples": max(sum(counts), 1)})
    return RecordDict({**to_records(package, Float32()), "metrics": metrics})


def server(**changed: Any) -> FedGen:
    usual = {"sizes": Sizes(3, 4, 16, 3), "steps": 200, "optimizer": Optimizer(name="adam", lr=0.01)}
    return FedGen(**(usual | changed))


def start() -> Any:
    return to_records(Package("weights", weights(1.0)), Float32())["arrays"]


def test_after_a_round_the_generator_makes_features_that_the_last_layers_see_as_their_class(
    grid_saying: GridSaying, play: Any
) -> None:
    counts = {0: [4, 0, 0], 1: [0, 2, 0]}
    grid = grid_saying(lambda client, _: reply(weights(1.0 + 2 * client), counts[client]), 2)
    game = play(server(), grid, start()).round()
    assert set(game.down[0]) == {"arrays", "config"}
    # The mean by samples, and nothing but weights is averaged.
    averaged = game.arrays.to_torch_state_dict()
    assert set(averaged) == {"head.weight", "head.bias"}
    torch.testing.assert_close(averaged["head.weight"], (4 * 1.0 + 2 * 3.0) / 6 * torch.eye(3))
    package = from_records(game.round().down[0])
    assert package.kind == "generator"
    assert package.counts is not None
    assert package.counts.tolist() == [4, 2, 0]
    noise = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    for label in (0, 1):
        with torch.no_grad():
            made = game.strategy.generator(noise, torch.full((100,), label))
        assert bool((head_logits(weights(1.0), made).argmax(dim=1) == label).float().mean() > 0.95)


def test_diversity_keeps_features_apart(grid_saying: GridSaying, play: Any) -> None:
    spreads = []
    for diversity in (0.0, 20.0):
        grid = grid_saying(lambda *_: reply(weights(1.0), [1, 1, 1]), 2)
        game = play(server(diversity=diversity), grid, start()).round()
        noise = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            spreads.append(float(game.strategy.generator(noise, torch.zeros(100).long()).std(dim=0).mean()))
    assert spreads[1] > 2 * spreads[0]


def test_the_generators_gradient_is_clipped_where_its_optimiser_says_so(
    grid_saying: GridSaying, play: Any
) -> None:
    lengths = []
    for clip_norm in (None, 0.001):
        made = server(steps=1, optimizer=Optimizer(lr=1.0, clip_norm=clip_norm))
        before = torch.cat([weight.detach().flatten().clone() for weight in made.generator.parameters()])
        play(made, grid_saying(lambda *_: reply(weights(1.0), [1, 1, 1]), 2), start()).round()
        after = torch.cat([weight.detach().flatten() for weight in made.generator.parameters()])
        lengths.append(float((after - before).norm()))
    assert lengths[1] == pytest.approx(0.001, rel=1e-2)
    assert lengths[0] > 10 * lengths[1]


def test_after_a_restart_the_same_goes_down(grid_saying: GridSaying, play: Any) -> None:
    grid = grid_saying(lambda *_: reply(weights(1.0), [1, 2, 1]), 2)
    game = play(server(steps=5), grid, start()).round()
    again = server(steps=5)
    again.load_state({name: tensor.clone() for name, tensor in game.strategy.state().items()})
    other = play(again, grid, game.arrays)
    other.rounds = 1
    for _ in range(2):
        one, two = from_records(game.round().down[0]), from_records(other.round().down[0])
        assert all(torch.equal(one.arrays[name], two.arrays[name]) for name in one.arrays)


def test_counts_that_are_none_or_say_nothing_are_refused(grid_saying: GridSaying, play: Any) -> None:
    def say(client: int, _: RecordDict) -> RecordDict:
        if client == 0:
            package = to_records(Package("weights", weights(1.0)), Float32())
            return RecordDict({**package, "metrics": MetricRecord({"num-examples": 1})})
        return reply(weights(1.0), [0, 0, 0] if client == 1 else [1, 1, 1])

    game = play(server(steps=1), grid_saying(say, 3), start()).round()
    assert [failure.client for failure in game.strategy.failures] == [0, 1]
    assert "'counts'" in game.strategy.failures[0].reason
    assert "all 0" in game.strategy.failures[1].reason
