"""The server of FedGKD: what it remembers, and what goes down beside the newest network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedkd.knowledge import from_records
from fedkd.knowledge.package import payload_of
from fedkd.strategies.past_averages import FedGKD


def adds_one(_: int, content: RecordDict) -> RecordDict:
    """Be a client whose training adds 1 to every weight, so that the global weight is t - 1 in round t."""
    sent = content.array_records["weights" if "weights" in content else "arrays"].to_torch_state_dict()
    grown = ArrayRecord({name: weight + 1 for name, weight in sent.items()})
    return RecordDict({"arrays": grown, "metrics": MetricRecord({"num-examples": 3})})


def start() -> ArrayRecord:
    return ArrayRecord({"w": torch.zeros(2)})


@pytest.mark.parametrize(("buffer", "means"), [(2, [0.5, 1.5, 2.5]), (5, [0.5, 1.0, 1.5])])
def test_the_mean_of_the_last_networks_goes_down_from_the_second_round_on(
    buffer: int, means: list[float], grid_saying: Callable[..., Grid], play: Any
) -> None:
    game = play(FedGKD(buffer=buffer), grid_saying(adds_one, 2), start()).round()
    assert set(game.down[0]) == {"arrays", "config"}
    for mean in means:
        game.round()
        assert from_records(game.down[0]).arrays["w"].tolist() == [mean, mean]
        assert payload_of(game.down[0]) == 2 * payload_of(game.up[0]) == 16
    assert game.arrays.to_torch_state_dict()["w"].tolist() == [4.0, 4.0]


def test_with_a_buffer_of_one_nothing_goes_down_beside_the_weights(
    grid_saying: Callable[..., Grid], play: Any
) -> None:
    game = play(FedGKD(buffer=1), grid_saying(adds_one, 2), start()).round().round()
    assert set(game.down[0]) == {"arrays", "config"}


def test_a_server_that_is_started_again_remembers_the_past_networks(
    grid_saying: Callable[..., Grid], play: Any
) -> None:
    first = play(FedGKD(buffer=3), grid_saying(adds_one, 2), start()).round().round().round()
    again = FedGKD(buffer=3)
    again.load_state(first.strategy.state())
    second = play(again, first.grid, first.arrays)
    second.rounds = 3
    for game in (first.round(), second.round()):
        assert from_records(game.down[1]).arrays["w"].tolist() == [2.0, 2.0]
    assert FedGKD().state() == {}
