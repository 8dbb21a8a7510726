"""What all strategies do alike: who takes part, in which order answers count, and which are usable."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedkd.foundation.errors import RoundFailed
from fedkd.foundation.seeding import Streams
from fedkd.runtime.inline import InlineGrid
from fedkd.strategies import FedAvg, Federated, Local, Sampling

GridMaker = Callable[..., Grid]
CALM = RecordDict({"metrics": MetricRecord({"num-examples": 4, "train-loss": 1.0})})


def calm(client: int, content: RecordDict) -> RecordDict:
    del client, content
    return CALM


def drawn(strategy: Federated, grid: Grid, rounds: int = 6) -> list[list[int]]:
    return [strategy.participants(number, grid) for number in range(1, rounds + 1)]


def test_clients_are_drawn_alike_whatever_node_ids_they_have(grid_saying: GridMaker) -> None:
    grids = [grid_saying(calm, 12), grid_saying(calm, 12, scattered=1), grid_saying(calm, 12, scattered=2)]
    everyone = [drawn(Local(Sampling(clients_per_round=4, seed=3)), grid) for grid in grids]
    assert everyone[0] == everyone[1] == everyone[2]


def test_each_round_draws_anew_without_repetition_by_the_seed_alone(grid_saying: GridMaker) -> None:
    grid = grid_saying(calm, 12)
    rounds = drawn(Local(Sampling(clients_per_round=4, seed=3)), grid)
    assert all(len(set(clients)) == 4 and clients == sorted(clients) for clients in rounds)
    assert len({tuple(clients) for clients in rounds}) > 1
    assert drawn(Local(Sampling(clients_per_round=4, seed=4)), grid) != rounds
    late = Local(Sampling(clients_per_round=4, seed=3))
    assert late.participants(5, grid) == rounds[4]


def test_everyone_takes_part_where_no_number_is_given_or_it_is_larger_than_the_federation(
    grid_saying: GridMaker,
) -> None:
    for strategy in (Local(), Local(Sampling(clients_per_round=50))):
        assert strategy.participants(1, grid_saying(calm, 5)) == [0, 1, 2, 3, 4]


def test_every_client_is_drawn_about_as_often_as_any_other(grid_saying: GridMaker) -> None:
    strategy, grid = Local(Sampling(clients_per_round=3)), grid_saying(calm, 10)
    counts = [0] * 10
    for clients in drawn(strategy, grid, 400):
        for client in clients:
            counts[client] += 1
    assert all(85 < count < 155 for count in counts)  # 120 each, 9 standard deviation


def test_nodes_that_do_not_come_end_the_run_with_a_word(grid_saying: GridMaker) -> None:
    strategy = Local(Sampling(num_clients=4, patience=0.0))
    with pytest.raises(RoundFailed, match="3 of 4 nodes connected within 0 s"):
        strategy.participants(1, grid_saying(calm, 3, scattered=0))


class Census(InlineGrid):
    """A grid that counts how often it is asked for all of its nodes."""

    times = 0

    def partitions(self) -> Mapping[int, int]:
        self.times += 1
        return super().partitions()


def test_a_grid_of_very_many_nodes_is_asked_once_and_draws_as_a_small_one_does() -> None:
    grid, strategy = Census(ClientApp(), 100_000, {}), Local(Sampling(clients_per_round=100, seed=3))
    for number, clients in enumerate(drawn(strategy, grid), start=1):
        stream = Streams(3).numpy("sample-clients", round=number)
        assert clients == sorted(stream.choice(100_000, size=100, replace=False).tolist())
    assert grid.times == 1
    assert all(client in range(7) for client in strategy.participants(1, Census(ClientApp(), 7, {})))


REPLIES: dict[int, RecordDict | None] = {
    0: RecordDict({"metrics": MetricRecord({"num-examples": 1, "train-loss": 5.0})}),
    1: None,
    2: RecordDict({"metrics": MetricRecord({"num-examples": 0, "train-loss": float("nan")})}),
    3: RecordDict({"metrics": MetricRecord({"train-loss": 1.0})}),
    4: RecordDict({"metrics": MetricRecord({"num-examples": float("inf")})}),
    5: RecordDict({"metrics": MetricRecord({"num-examples": -3})}),
    6: RecordDict({"metrics": MetricRecord({"num-examples": [1, 2]})}),
    7: RecordDict(),
    8: RecordDict({"metrics": MetricRecord({"num-examples": 3, "train-loss": 1.0})}),
}


def mixed(client: int, content: RecordDict) -> RecordDict:
    del content
    said = REPLIES[client]
    if said is None:
        raise ValueError("no disk left\non this machine")
    return said


@pytest.mark.parametrize("scattered", [None, 5])
def test_clients_whose_answers_are_of_no_use_are_named_with_a_reason_and_left_out(
    grid_saying: GridMaker, play: Any, scattered: int | None
) -> None:
    game = play(Local(), grid_saying(mixed, 9, scattered=scattered)).round()
    reasons = {failure.client: failure.reason for failure in game.strategy.failures}
    assert list(reasons) == [1, 3, 4, 5, 6, 7]
    assert reasons[1] == "ValueError: no disk left on this machine"
    assert all("num-examples" in reasons[client] for client in (3, 4, 5, 6, 7))
    assert game.metrics is not None
    assert game.metrics["train-loss"] == pytest.approx((5.0 + 3 * 1.0) / 4)


def test_failures_are_those_of_the_last_round(grid_saying: GridMaker, play: Any) -> None:
    def once(client: int, content: RecordDict) -> RecordDict:
        if client == 1 and content.config_records["config"]["server-round"] == 1:
            raise ValueError("slept badly")
        return CALM

    game = play(Local(), grid_saying(once, 3)).round()
    assert [failure.client for failure in game.strategy.failures] == [1]
    assert game.round().strategy.failures == []


def test_a_round_of_too_few_usable_answers_fails_and_names_the_first_reasons(
    grid_saying: GridMaker, play: Any
) -> None:
    game = play(Local(Sampling(min_clients=3)), grid_saying(mixed, 9))
    with pytest.raises(
        RoundFailed, match=r"only 2 clients .* at least 3 are needed \(client 1: ValueError: no disk"
    ):
        game.round()
    assert play(Local(Sampling(min_clients=2)), grid_saying(mixed, 9)).round().metrics is not None


def test_a_round_in_which_everyone_fails_fails(grid_saying: GridMaker, play: Any) -> None:
    def never(client: int, content: RecordDict) -> RecordDict:
        raise RuntimeError(f"client {client} is gone after {len(content)} records")

    with pytest.raises(RoundFailed, match="only 0 clients gave a usable answer"):
        play(Local(), grid_saying(never, 3)).round()


def test_only_clients_whose_answers_were_used_are_asked_to_evaluate(
    grid_saying: GridMaker, play: Any
) -> None:
    game = play(Local(), grid_saying(mixed, 9, scattered=2)).round()
    asked = list(
        game.strategy.configure_evaluate(1, ArrayRecord(), ConfigRecord({"splits": ["test"]}), game.grid)
    )
    assert [game.strategy.client_of(message.metadata.dst_node_id) for message in asked] == [0, 8]
    assert asked[0].content.config_records["config"]["splits"] == ["test"]


def weights(value: float, shape: tuple[int, ...] = (2,)) -> ArrayRecord:
    return ArrayRecord({"w": torch.full(shape, value)})


SENT = {
    0: ({"arrays": weights(1.0)}, None),
    1: ({"arrays": weights(float("nan"))}, "'w' that are not finite"),
    2: ({"arrays": weights(float("inf"))}, "'w' that are not finite"),
    3: ({"arrays": weights(1.0, (3,))}, r"'w' of shape [3], expected [2]"),
    4: ({"arrays": ArrayRecord({"v": torch.ones(2)})}, "'v' that nobody asked for"),
    5: ({"arrays": ArrayRecord()}, "no weights 'w'"),
    6: ({}, "sent no weights"),
    7: ({"arrays": weights(1.0), "more": weights(2.0)}, "more than one record"),
    8: ({"arrays": weights(5.0)}, None),
    9: ({"arrays": ArrayRecord({"w": Array("float32", (2,), "numpy.ndarray", b"")})}, "No data left"),
    10: ({"arrays": ArrayRecord({"w": Array(np.array(["a", "b"]))})}, "'w' of type <U1, expected numbers"),
}


@pytest.mark.parametrize("scattered", [None, 9])
def test_flowers_fedavg_averages_by_samples_the_weights_that_can_be_used(
    grid_saying: GridMaker, play: Any, scattered: int | None
) -> None:
    def say(client: int, content: RecordDict) -> RecordDict:
        del content
        metrics = MetricRecord({"num-examples": 3 if client else 1})
        return RecordDict({**SENT[client][0], "metrics": metrics})

    game = play(FedAvg(), grid_saying(say, len(SENT), scattered=scattered), weights(0.0)).round()
    assert game.arrays.to_torch_state_dict()["w"].tolist() == [4.0, 4.0]  # (1 x 1 + 3 x 5) / 4
    reasons = {failure.client: failure.reason for failure in game.strategy.failures}
    expected = {client: reason for client, (_, reason) in SENT.items() if reason is not None}
    assert reasons.keys() == expected.keys()
    assert all(reason in reasons[client] for client, reason in expected.items())


def echo(client: int, content: RecordDict) -> RecordDict:
    """Send back the weights that came, as a client that learns nothing."""
    del client
    return RecordDict({"arrays": content.array_records["arrays"], "metrics": CALM.metric_records["metrics"]})


def test_what_crosses_in_a_round_of_fedavg_is_the_same_for_every_participant(
    grid_saying: GridMaker, play: Any
) -> None:
    game = play(FedAvg(Sampling(clients_per_round=2)), grid_saying(echo, 5), weights(2.0)).round()
    assert len(game.down) == 2
    for content in game.down.values():
        assert content.config_records["config"]["server-round"] == 1
        assert content.array_records["arrays"].to_torch_state_dict()["w"].tolist() == [2.0, 2.0]


def test_the_mean_of_evaluations_counts_held_out_samples_and_skips_what_is_not_known(
    grid_saying: GridMaker, play: Any
) -> None:
    game = play(Local(), grid_saying(mixed, 9)).round()
    said = [(1, 0.5), (3, 0.9), (0, float("nan"))]
    replies = []
    messages = game.strategy.messages(dict.fromkeys(range(3), RecordDict()), "evaluate")
    for message, (size, accuracy) in zip(messages, said, strict=True):
        metrics = MetricRecord({"num-examples": size, "accuracy": accuracy})
        message.content = RecordDict({"metrics": metrics})
        replies.append(message)
    measured = game.strategy.aggregate_evaluate(1, replies)
    assert dict(measured) == {"accuracy": pytest.approx(0.8)}


def test_flowers_loop_lets_clients_judge_the_global_weights_and_fedkds_own_those_they_trained(
    grid_saying: GridMaker, play: Any
) -> None:
    game = play(FedAvg(), grid_saying(echo, 2), weights(2.0)).round()
    for config, holds in ((ConfigRecord(), True), (ConfigRecord({"splits": ["test"]}), False)):
        for message in game.strategy.configure_evaluate(1, game.arrays, config, game.grid):
            assert ("arrays" in message.content) == holds
