"""Averaging of updates: the mean by hand, what goes down to whom, and that both ends hold the same weights."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.clients.supervised import Supervised
from fedkd.engine import ClientSide, evaluate, train
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.codecs.low_rank import LowRank
from fedkd.knowledge.kinds.updates import Updates, updated
from fedkd.knowledge.kinds.weights import Weights
from fedkd.knowledge.package import payload_of
from fedkd.strategies import FedAvg, Sampling
from fedkd.strategies.update_averaging import FedAvgOfUpdates
from fedkd.training import Fit

Maker = Callable[..., ClientSide]
FIT = Fit(epochs=1, batch_size=8)
START = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([10.0])}
SIZES = (1, 3)


def moved(by: float) -> dict[str, Tensor]:
    return {name: torch.full_like(weight, by) for name, weight in START.items()}


def say(client: int, _: RecordDict) -> RecordDict:
    records = to_records(Package("updates", moved(float(client + 1))), Float32())
    return RecordDict({**records, "metrics": MetricRecord({"num-examples": SIZES[client]})})


def start(weights: dict[str, Tensor]) -> ArrayRecord:
    return ArrayRecord({**weights})


def test_the_mean_update_by_samples_is_added_to_the_weights(
    grid_saying: Callable[..., Grid], play: Any
) -> None:
    game = play(FedAvgOfUpdates(), grid_saying(say, 2), start(START)).round()
    mean = (1 * 1.0 + 3 * 2.0) / 4
    assert game.arrays.to_torch_state_dict()["a"].tolist() == [[1.0 + mean, 2.0 + mean]]
    assert game.arrays.to_torch_state_dict()["b"].tolist() == [10.0 + mean]


def test_the_whole_weights_go_down_once_and_then_what_has_changed(
    grid_saying: Callable[..., Grid], play: Any
) -> None:
    game = play(FedAvgOfUpdates(), grid_saying(say, 2), start(START)).round()
    assert {name for content in game.down.values() for name in content} == {"weights", "config"}
    game.round()
    change = from_records(game.down[1])
    assert change.kind == "updates"
    assert change.arrays["b"].tolist() == [1.75]


def test_who_was_not_there_or_failed_in_the_round_before_is_sent_the_weights_again(
    grid_saying: Callable[..., Grid], play: Any
) -> None:
    def sometimes(client: int, content: RecordDict) -> RecordDict:
        if client == 0 and content.config_records["config"]["server-round"] == 1:
            raise RuntimeError("not now")
        return say(client, content)

    game = play(FedAvgOfUpdates(), grid_saying(sometimes, 2), start(START)).round().round()
    assert "weights" in game.down[0]
    assert torch.equal(game.down[0]["weights"].to_torch_state_dict()["b"], torch.tensor([12.0]))
    assert "about" in game.down[1]
    game.round()
    assert all("about" in content for content in game.down.values())


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (Package("weights", moved(1.0)), "expected updates"),
        (Package("updates", {"a": torch.zeros(1, 2)}), "'b' of shape None"),
        (Package("updates", {**moved(1.0), "b": torch.zeros(2)}), r"'b' of shape \[2\]"),
        (Package("updates", {**moved(1.0), "c": torch.zeros(2)}), "'c'"),
        (Package("updates", moved(float("nan"))), "not finite"),
    ],
)
def test_what_is_no_update_of_the_weights_is_left_out_and_named(
    package: Package, reason: str, grid_saying: Callable[..., Grid], play: Any
) -> None:
    def odd(client: int, content: RecordDict) -> RecordDict:
        if client == 1:
            return say(client, content)
        records = to_records(package, Float32())
        return RecordDict({**records, "metrics": MetricRecord({"num-examples": 5})})

    game = play(FedAvgOfUpdates(), grid_saying(odd, 2), start(START)).round()
    [failure] = game.strategy.failures
    assert failure.client == 0
    assert re.search(reason, failure.reason)
    assert game.arrays.to_torch_state_dict()["b"].tolist() == [12.0]


def test_with_exact_numbers_it_is_fedavg_up_to_rounding(
    client_side: Maker, grid_of: Callable[..., Grid], play: Any
) -> None:
    first = start(dict(client_side(Supervised()).network(0).state_dict()))
    sampling = Sampling(num_clients=4, clients_per_round=3)
    ends = []
    for server, kind in ((FedAvg(sampling), Weights()), (FedAvgOfUpdates(sampling=sampling), Updates())):
        grid = grid_of(client_side(Supervised(fit=FIT), kind=kind))
        ends.append(play(server, grid, first).round().round().round().arrays.to_torch_state_dict())
    for name, weight in ends[0].items():
        torch.testing.assert_close(ends[1][name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("codec", [Float32(), LowRank(energy=0.8)])
def test_clients_hold_the_servers_weights_to_the_bit(codec: Codec, client_side: Maker) -> None:
    side = client_side(Supervised(fit=FIT), kind=Updates())
    weights = dict(side.network(0).state_dict())
    state, config = RecordDict(), {"server-round": 1, "hold": True}
    train(side, 1, RecordDict({"weights": start(weights), "config": ConfigRecord(config)}), state)
    draw = torch.Generator().manual_seed(0)
    for number in (2, 3):
        step = {name: torch.randn(weight.shape, generator=draw) for name, weight in weights.items()}
        records = to_records(Package("updates", step), codec)
        weights = updated(weights, from_records(RecordDict({**records})).arrays)
        message = RecordDict({**records, "config": ConfigRecord({**config, "server-round": number})})
        said = from_records(train(side, 1, message, state)).arrays
        held = state.array_records["fedkd.sent"].to_torch_state_dict()
        assert all(torch.equal(held[name], weight) for name, weight in weights.items())
        # What it says is what its training moved, and it trained from there.
        alone = client_side(Supervised(fit=FIT), kind=Weights())
        whole = RecordDict({"weights": start(weights), "config": ConfigRecord({"server-round": number})})
        after = from_records(train(alone, 1, whole, RecordDict())).arrays
        assert all(torch.equal(said[name], after[name] - weights[name]) for name in weights)


def test_a_change_of_weights_that_a_client_does_not_hold_is_an_error(client_side: Maker) -> None:
    side = client_side(Supervised(fit=FIT), kind=Updates())
    weights = dict(side.network(0).state_dict())
    records = to_records(Package("updates", weights), Float32())
    message = RecordDict({**records, "config": ConfigRecord({"server-round": 2})})
    with pytest.raises(ValueError, match="weights that are not here"):
        train(side, 0, message, RecordDict())
    asked = RecordDict({"config": ConfigRecord({"server-round": 2, "splits": ["test"]})})
    assert "predictions" in evaluate(side, 0, asked, RecordDict())


def test_what_crosses_is_what_the_codecs_send(
    client_side: Maker, grid_of: Callable[..., Grid], play: Any
) -> None:
    first = start(dict(client_side(Supervised()).network(0).state_dict()))
    grid = grid_of(client_side(Supervised(fit=FIT), kind=Updates()))
    game = play(FedAvgOfUpdates(codec=LowRank(energy=0.5)), grid, first).round().round()
    whole = sum(weight.numel() for weight in first.to_torch_state_dict().values()) * 4
    assert {payload_of(content) for content in game.up.values()} == {whole}  # as float32
    assert all(payload_of(content) < whole for content in game.down.values())


def test_after_a_restart_the_next_round_is_the_same(grid_saying: Callable[..., Grid], play: Any) -> None:
    grid, codec = grid_saying(say, 2), LowRank(energy=0.9)
    game = play(FedAvgOfUpdates(codec=codec), grid, start(START)).round()
    again = FedAvgOfUpdates(codec=codec)
    again.load_state({name: tensor.clone() for name, tensor in game.strategy.state().items()})
    other = play(again, grid, game.arrays)
    other.rounds = 1
    one, two = game.round().arrays.to_torch_state_dict(), other.round().arrays.to_torch_state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert all("about" in content for content in other.down.values())
