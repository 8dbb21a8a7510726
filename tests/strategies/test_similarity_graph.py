"""The server of a similarity graph: each client is sent what those say together who are like it."""

from collections.abc import Callable
from typing import Any

import torch
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.data.samples import Samples
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.strategies import Sampling
from fedkd.strategies._personal import Personal
from fedkd.strategies.similarity_graph import SimilarityGraph

GridSaying = Callable[..., Grid]
PROXY = Samples({"x": torch.zeros(2, 4)}, torch.zeros(2, dtype=torch.long), torch.tensor([7, 3]))
SAID = torch.tensor(
    [[[0.9, 0.1], [0.8, 0.2]], [[0.1, 0.9], [0.3, 0.7]], [[0.8, 0.2], [0.7, 0.3]], [[0.2, 0.8], [0.3, 0.7]]]
)
"""What four clients say about the two samples: 0 and 2 are alike, 1 and 3 are."""


def server(**options: Any) -> Personal:
    rule, sampling = SimilarityGraph(**options).chosen, Sampling(num_clients=4, seed=1)
    return Personal(proxy=PROXY, num_classes=2, clients=4, rule=rule, sampling=sampling)


def reply(values: Tensor) -> RecordDict:
    package = Package("probabilities", {"values": values}, ids=PROXY.ids)
    return RecordDict({**to_records(package, Float32()), "metrics": MetricRecord({"num-examples": 5})})


def taught(strategy: Personal, grid_saying: GridSaying, play: Any) -> list[Tensor]:
    game = play(strategy, grid_saying(lambda client, _: reply(SAID[client]), 4)).round().round()
    return [from_records(game.down[client]).values for client in range(4)]


def test_each_client_is_taught_by_its_nearest(grid_saying: GridSaying, play: Any) -> None:
    down = taught(server(neighbours=1, itself=False), grid_saying, play)
    for client, neighbour in ((0, 2), (2, 0), (1, 3), (3, 1)):
        torch.testing.assert_close(down[client], SAID[neighbour])


def test_all_neighbours_alike_are_one_consensus_for_all(grid_saying: GridSaying, play: Any) -> None:
    for values in taught(server(), grid_saying, play):
        torch.testing.assert_close(values, SAID.mean(dim=0))


def test_a_graph_is_that_of_the_round_whatever_was_before(grid_saying: GridSaying, play: Any) -> None:
    strategy = server(neighbours=1, temperature=0.1)
    grid = grid_saying(lambda client, _: reply(SAID[client]), 4)
    first = play(strategy, grid).round().strategy.coefficients.clone()
    again = server(neighbours=1, temperature=0.1)
    again.load_state(strategy.state())
    torch.testing.assert_close(play(again, grid).round().strategy.coefficients, first)
    torch.testing.assert_close(first.sum(dim=1), torch.ones(4, dtype=torch.float64))
