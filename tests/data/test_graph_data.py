import numpy as np
import pytest
import torch

from fedkd.data.datasets.base import Loaded
from fedkd.data.datasets.cora import LISTED, NODES, Cora
from fedkd.data.federated import federate
from fedkd.data.partitions.shared import Shared
from fedkd.data.proxies.train import Train
from fedkd.data.samples import concatenate
from fedkd.foundation.seeding import Streams


@pytest.fixture(scope="module")
def cora() -> Loaded:
    return Cora().load(Streams(0))


def test_parts_have_the_sizes_of_the_usual_split(cora: Loaded) -> None:
    assert [len(part) for part in (cora.train, cora.validation, cora.test)] == [1208, 500, 1000]
    data = federate(Cora(), Shared(per_class=20), Train(labelled=False), 1, Streams(0))
    assert data.client_train(0).targets.bincount().tolist() == [20] * 7
    assert data.proxy is not None
    assert len(data.proxy) == 1208


def test_links_are_those_of_the_graph_and_go_both_ways(cora: Loaded) -> None:
    everyone = concatenate([cora.train, cora.validation, cora.test])
    order = everyone.ids.argsort()
    links = everyone.inputs["links"][order]
    assert links[:, 0].tolist() == list(range(NODES))
    known = [set(row[1:]) - {row[0]} for row in links.tolist()]
    whole = [node for node in range(NODES) if len(known[node]) < LISTED]
    assert len(whole) > NODES - 20
    assert all(node in known[other] for node in whole for other in known[node] if len(known[other]) < LISTED)
    assert sum(map(len, known)) == pytest.approx(2 * 5278, rel=0.03)
    same = np.mean(
        [
            everyone.targets[order][node] == everyone.targets[order][other]
            for node in whole
            for other in known[node]
        ]
    )
    assert same > 0.75  # articles cite those of their own subject


def test_a_neighbourhood_is_the_normalised_sum_over_neighbours_and_itself(cora: Loaded) -> None:
    everyone = concatenate([cora.train, cora.validation, cora.test])
    order = everyone.ids.argsort()
    words, hops, links = (everyone.inputs[view][order] for view in ("features", "neighbourhood", "links"))
    known = [sorted(set(row)) for row in links.tolist()]  # itself among them
    node = next(node for node in range(NODES) if len(known[node]) == 4)
    degree = [len(known[other]) for other in known[node]]
    assert max(degree) < LISTED
    for hop in (1, 2):
        weights = torch.tensor([1.0 / (4 * size) ** 0.5 for size in degree])
        expected = (weights[:, None] * hops[known[node], hop - 1]).sum(dim=0)
        torch.testing.assert_close(hops[node, hop], expected)
    assert torch.equal(hops[:, 0], words)
