"""Sets whose samples have a class for each of several heads, and clients that know some of them."""

import numpy as np
import pytest
import torch

from fedkd.data.datasets.diamonds import Diamonds
from fedkd.data.datasets.diamonds_grades import DiamondsGrades
from fedkd.data.datasets.digits import Digits
from fedkd.data.federated import check, federate
from fedkd.data.partitions.base import Partitioner
from fedkd.data.partitions.iid import Iid
from fedkd.data.partitions.shared import Shared
from fedkd.data.proxies.dataset import OtherDataSet
from fedkd.data.proxies.noise import Noise
from fedkd.foundation.errors import FedkdError
from fedkd.foundation.seeding import Streams

DATA = DiamondsGrades(samples=200)


def test_grades_are_those_of_the_table_and_everything_else_is_what_networks_see() -> None:
    own, whole = DATA.read(), Diamonds().read()
    features, begins = whole.views["features"], [6, 11, 18]
    assert np.array_equal(own.views["features"], np.column_stack([features[:, :6], whole.targets]))
    rows = np.arange(len(features))
    for head, (begin, names) in enumerate(zip(begins, DATA.heads.values(), strict=True)):
        assert (features[rows, begin + own.targets[:, head]] == 1).all()
        assert np.unique(own.targets[:, head]).tolist() == list(range(len(names)))


@pytest.mark.parametrize(
    "partition", [Shared(heads=((0,), (1, 2)), holdout=0.2), Iid(heads=((0,), (1, 2)), holdout=0.2)]
)
def test_a_client_knows_the_classes_of_its_heads_alone_in_what_it_holds_out_too(
    partition: Partitioner,
) -> None:
    data = federate(DATA, partition, None, 3, Streams(0))
    for client, known in enumerate(([0], [1, 2], [0])):
        for positions, own in (
            (data.assignments[client], data.client_train(client)),
            (data.holdouts[client], data.client_holdout(client)),
        ):
            true = data.train.take(positions).targets
            assert torch.equal(own.targets[:, known], true[:, known])
            hidden = [head for head in range(3) if head not in known]
            assert (own.targets[:, hidden] == -1).all()
    samples, where = data.pool([0, 1])
    assert torch.equal(samples.take(where[1]).targets, data.client_train(1).targets)
    assert (data.train.targets >= 0).all(), "the pool itself keeps all labels"


def test_labels_are_dealt_anew_before_they_are_hidden() -> None:
    data = federate(DATA, Shared(heads=((0,),), noise=(0.0, 1.0), wrong="shuffled"), None, 2, Streams(0))
    honest, wrong = data.client_train(0).targets, data.client_train(1).targets
    assert torch.equal(honest[:, 0].sort().values, wrong[:, 0].sort().values)
    assert not torch.equal(honest[:, 0], wrong[:, 0])
    assert (wrong[:, 1:] == -1).all()


def test_targets_that_nobody_knows_are_unknown_in_every_head_and_any_partition_deals_such_samples() -> None:
    data = federate(DATA, Iid(), Noise(size=7), 3, Streams(0))
    assert data.proxy is not None
    assert torch.equal(data.proxy.targets, torch.full((7, 3), -1))
    assert "counts" not in data.manifest
    assert (data.client_train(2).targets >= 0).all()


@pytest.mark.parametrize(
    ("data", "partition", "reason"),
    [
        (DATA, Shared(heads=((3,),)), r"partition\.heads.*0 cut, 1 color, 2 clarity"),
        (DATA, Shared(heads=((),)), r"partition\.heads"),
        (Digits(), Shared(heads=((0,),)), "take data=diamonds_grades"),
        (DATA, Shared(classes=((0,),)), r"take partition\.heads"),
        (DATA, Shared(per_class=3), r"take partition\.heads"),
        (DATA, Shared(noise=1.0), "take partition.wrong=shuffled"),
    ],
)
def test_heads_that_are_not_there_are_refused(
    data: DiamondsGrades | Digits, partition: Partitioner, reason: str
) -> None:
    with pytest.raises(FedkdError, match=reason):
        check(data, partition, None, 2)


def test_prices_and_grades_of_the_same_stones_are_no_proxy_set_of_one_another() -> None:
    with pytest.raises(FedkdError, match="holds samples of data=diamonds_grades"):
        check(DATA, Iid(), OtherDataSet(dataset="diamonds"), 2)
