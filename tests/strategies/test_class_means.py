from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.strategies import FD, Sampling

GridMaker = Callable[..., Grid]

# three clients, two labels: client 1 never saw label 0, only client 2 saw label 1
VALUES = torch.tensor([[[1.0, 2.0], [0.0, 0.0]], [[9.0, 9.0], [9.0, 9.0]], [[5.0, 4.0], [7.0, 8.0]]])
COUNTS = torch.tensor([[10, 0], [0, 0], [1, 3]])


def reply(values: Tensor, counts: Tensor | None, kind: str = "class_means") -> RecordDict:
    records = to_records(Package(kind, {"values": values}, counts=counts), Float32())
    return RecordDict({**records, "metrics": MetricRecord({"num-examples": 5, "train-loss": 1.0})})


def by_hand(client: int, content: RecordDict) -> RecordDict:
    del content
    return reply(VALUES[client], COUNTS[client])


@pytest.mark.parametrize("scattered", [None, 4])
def test_each_client_hears_the_mean_of_the_others_that_have_the_label_and_never_its_own_word(
    grid_saying: GridMaker, play: Any, scattered: int | None
) -> None:
    game = play(FD(num_classes=2), grid_saying(by_hand, 3, scattered=scattered))
    assert all("arrays" not in content for content in game.round().down.values())
    heard = {client: from_records(content) for client, content in game.round().down.items()}
    assert heard[0].values.tolist() == [[5.0, 4.0], [7.0, 8.0]]
    assert heard[1].values.tolist() == [[3.0, 3.0], [7.0, 8.0]]
    assert heard[2].values[0].tolist() == [1.0, 2.0]
    assert [
        package.counts.tolist() for _, package in sorted(heard.items()) if package.counts is not None
    ] == [
        [1, 1],
        [1, 1],
        [1, 0],
    ]


def test_a_client_that_did_not_speak_in_the_last_round_hears_all_that_did(
    grid_saying: GridMaker, play: Any
) -> None:
    strategy = FD(num_classes=2, sampling=Sampling(clients_per_round=2))
    game = play(strategy, grid_saying(by_hand, 3))
    spoke = set(game.round().down)
    while (spoken := set(game.round().down)) == spoke:
        pass
    (newcomer,) = spoken - spoke
    heard = from_records(game.down[newcomer])
    has_label = [client for client in spoke if COUNTS[client, 0] > 0]
    assert torch.equal(heard.values[0], VALUES[has_label, 0].mean(0))


BAD = {
    0: reply(VALUES[0], COUNTS[0]),
    1: reply(torch.full((2, 2), float("nan")), COUNTS[0]),
    2: reply(torch.zeros(3, 3), torch.ones(3, dtype=torch.long)),
    3: reply(VALUES[0], COUNTS[0], kind="logits"),
    4: reply(VALUES[0], None),
    5: reply(VALUES[0], torch.ones(3, dtype=torch.long)),
    6: RecordDict({"metrics": MetricRecord({"num-examples": 5})}),
}
REASONS = {
    1: "not finite",
    2: "of shape [3, 3], expected [2, 2]",
    3: "sent logits, expected class_means",
    4: "without a count",
    5: "without a count",
    6: "sent no knowledge",
}


def test_means_that_cannot_be_used_are_named_and_left_out(grid_saying: GridMaker, play: Any) -> None:
    game = play(FD(num_classes=2), grid_saying(lambda client, _: BAD[client], 7)).round()
    reasons = {failure.client: failure.reason for failure in game.strategy.failures}
    assert reasons.keys() == REASONS.keys()
    assert all(REASONS[client] in reasons[client] for client in reasons)
    assert torch.equal(from_records(game.round().down[3]).values, VALUES[0])


def test_a_strategy_that_is_restarted_sends_what_it_would_have_sent(
    grid_saying: GridMaker, play: Any
) -> None:
    game = play(FD(num_classes=2), grid_saying(by_hand, 3)).round()
    fresh = FD(num_classes=2)
    fresh.load_state(game.strategy.state())
    again = play(fresh, grid_saying(by_hand, 3))
    again.rounds = 1
    expected, resumed = game.round().down, again.round().down
    for client in range(3):
        assert torch.equal(from_records(resumed[client]).values, from_records(expected[client]).values)
    assert FD(num_classes=2).state() == {}
