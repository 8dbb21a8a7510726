"""The server of FedProto: means of prototypes by hand, silence, and what is refused."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest
import torch
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.strategies.prototypes import FedProto

GridSaying = Callable[..., Grid]
SAID: Mapping[int, tuple[list[list[float]], list[int]]] = {
    0: ([[1.0, 0.0]], [3, 0, 0]),
    1: ([[5.0, 4.0], [2.0, 2.0]], [1, 2, 0]),
    2: ([[5.0, 2.0]], [0, 1, 0]),
}
"""Prototypes and counts of three clients, each of the classes that it has; nobody has class 2."""


def reply(values: list[list[float]], counts: list[int]) -> RecordDict:
    package = Package("prototypes", {"values": torch.tensor(values)}, counts=torch.tensor(counts))
    metrics = MetricRecord({"num-examples": max(sum(counts), 1)})
    return RecordDict({**to_records(package, Float32()), "metrics": metrics})


@pytest.mark.parametrize(
    ("mean", "expected"), [("samples", [[2.0, 1.0], [3.0, 2.0]]), ("clients", [[3.0, 2.0], [3.5, 2.0]])]
)
def test_a_prototype_is_the_mean_over_samples_or_over_those_clients_that_have_the_class(
    mean: Literal["samples", "clients"], expected: list[list[float]], grid_saying: GridSaying, play: Any
) -> None:
    grid = grid_saying(lambda client, _: reply(*SAID[client]), 3)
    game = play(FedProto(num_classes=3, width=2, mean=mean), grid).round()
    assert set(game.down[0]) == {"config"}
    package = from_records(game.round().down[0])
    assert package.values.tolist() == [*expected, [0.0, 0.0]]
    assert package.counts is not None
    assert package.counts.tolist() == [1, 1, 0]


def test_a_class_of_which_nobody_speaks_any_more_keeps_its_prototype_also_after_a_restart(
    grid_saying: GridSaying, play: Any
) -> None:
    silent = ([[6.0, 6.0]], [1, 0, 0])
    grid = grid_saying(
        lambda client, content: reply(*(SAID[client] if content["config"]["server-round"] == 1 else silent)),
        3,
    )
    game = play(FedProto(num_classes=3, width=2), grid).round().round()
    again = FedProto(num_classes=3, width=2)
    again.load_state(game.strategy.state())
    other = play(again, grid)
    other.rounds = 2
    for one in (game.round(), other.round()):
        assert from_records(one.down[0]).values.tolist() == [[6.0, 6.0], [3.0, 2.0], [0.0, 0.0]]


def test_prototypes_of_another_width_without_counts_or_of_more_classes_than_are_counted_are_refused(
    grid_saying: GridSaying, play: Any
) -> None:
    def say(client: int, _: RecordDict) -> RecordDict:
        if client == 0:
            return reply([[1.0, 0.0, 0.0]] * 3, [1, 1, 1])
        if client == 1:
            package = Package("prototypes", {"values": torch.zeros(3, 2)})
            return RecordDict(
                {**to_records(package, Float32()), "metrics": MetricRecord({"num-examples": 1})}
            )
        return reply(*SAID[1]) if client == 2 else reply([[0.0, 0.0]] * 3, [1, 0, 0])

    game = play(FedProto(num_classes=3, width=2), grid_saying(say, 4)).round()
    assert [failure.client for failure in game.strategy.failures] == [0, 1, 3]
    assert "shape [3, 3], expected [3, 2]" in game.strategy.failures[0].reason
    assert "without a count" in game.strategy.failures[1].reason
    assert "shape [3, 2], expected [1, 2]" in game.strategy.failures[2].reason
