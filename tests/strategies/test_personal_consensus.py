"""The server of KT-pFL: what each client is sent, who is refused, and what it remembers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.aggregation.coefficients import Projection, learned
from fedkd.data.samples import Samples
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.strategies import Sampling
from fedkd.strategies._personal import Personal
from fedkd.strategies.personal_consensus import PersonalConsensus

GridSaying = Callable[..., Grid]
PROXY = Samples({"x": torch.zeros(2, 4)}, torch.zeros(2, dtype=torch.long), torch.tensor([7, 3]))
SAID = torch.tensor([[[0.9, 0.1], [0.8, 0.2]], [[0.8, 0.2], [0.7, 0.3]], [[0.1, 0.9], [0.3, 0.7]]])
"""What each of three clients says about the two samples."""


def server(**changed: Any) -> Personal:
    return Personal(
        **(
            {
                "proxy": PROXY,
                "num_classes": 2,
                "clients": 3,
                "rule": PersonalConsensus(rho=0.1).chosen,
                "sampling": Sampling(num_clients=3, seed=1),
            }
            | changed
        )
    )


def reply(values: Tensor, ids: Tensor = PROXY.ids) -> RecordDict:
    package = Package("probabilities", {"values": values}, ids=ids)
    return RecordDict({**to_records(package, Float32()), "metrics": MetricRecord({"num-examples": 5})})


@pytest.mark.parametrize("projection", ["simplex", "softmax"])
def test_every_client_is_sent_its_own_mixture_of_what_all_said(
    projection: Projection, grid_saying: GridSaying, play: Any
) -> None:
    rule = PersonalConsensus(rho=0.1, projection=projection).chosen
    game = play(server(rule=rule), grid_saying(lambda client, _: reply(SAID[client]), 3)).round()
    assert set(game.down[0]) == {"config"}
    rows = learned(torch.full((3, 3), 1 / 3), SAID, lr=0.1, rho=0.1, projection=projection)
    torch.testing.assert_close(game.strategy.coefficients, rows)
    game.round()
    for client in range(3):
        package = from_records(game.down[client])
        assert package.ids is not None
        assert package.ids.tolist() == [7, 3]
        expected = sum(rows[client, other] * SAID[other].double() for other in range(3))
        torch.testing.assert_close(package.values.double(), expected, atol=1e-6, rtol=0)
    assert not torch.equal(from_records(game.down[0]).values, from_records(game.down[2]).values)


def test_clients_that_are_alike_come_to_teach_each_other(grid_saying: GridSaying, play: Any) -> None:
    game = play(server(), grid_saying(lambda client, _: reply(SAID[client]), 3))
    for _ in range(10):
        game.round()
    rows = game.strategy.coefficients
    assert rows[0, 1] > 2 * rows[0, 2]
    assert rows[2, 2] > rows[2, 0]
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(3, dtype=torch.float64))
    weights = game.strategy.teacher_weights()
    torch.testing.assert_close(torch.tensor(list(weights.values())), rows.mean(dim=0).float())


def test_coefficients_for_those_who_are_silent_stay_and_the_others_share_the_word(
    grid_saying: GridSaying, play: Any
) -> None:
    first = play(
        server(sampling=Sampling(clients_per_round=2, seed=1)),
        grid_saying(lambda client, _: reply(SAID[client]), 3),
    ).round()
    present = sorted(first.up)
    [absent] = {0, 1, 2} - set(present)
    rows = first.strategy.coefficients
    assert torch.equal(rows[absent], torch.full((3,), 1 / 3, dtype=torch.float64))
    assert all(rows[client, absent] == 1 / 3 for client in present)
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(3, dtype=torch.float64))
    while absent not in first.round().down:
        pass
    assert from_records(first.down[absent]).values.sum(dim=1).tolist() == [1.0, 1.0]


def test_after_a_restart_the_same_goes_down(grid_saying: GridSaying, play: Any) -> None:
    grid = grid_saying(lambda client, _: reply(SAID[client]), 3)
    game = play(server(), grid).round().round()
    again = server()
    again.load_state(game.strategy.state())
    other = play(again, grid)
    other.rounds = 2
    one, two = game.round().down, other.round().down
    assert all(torch.equal(from_records(one[k]).values, from_records(two[k]).values) for k in one)


def test_answers_about_other_samples_or_in_another_order_are_refused(
    grid_saying: GridSaying, play: Any
) -> None:
    def say(client: int, _: RecordDict) -> RecordDict:
        if client == 0:
            return reply(SAID[0], ids=torch.tensor([3, 7]))
        return reply(SAID[1][:1], ids=torch.tensor([7])) if client == 1 else reply(SAID[2])

    game = play(server(), grid_saying(say, 3)).round()
    assert [failure.client for failure in game.strategy.failures] == [0, 1]
    assert "another order" in game.strategy.failures[0].reason
    assert "expected [2, 2]" in game.strategy.failures[1].reason
