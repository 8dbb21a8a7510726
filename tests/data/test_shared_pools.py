"""A pool that every client sees, and what each sees of it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.datasets.digits import Digits
from fedkd.data.partitions import PARTITIONS
from fedkd.data.partitions.base import Partitioner
from fedkd.data.partitions.shared import Shared
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams


def create(**options: Any) -> Partitioner:
    made: Partitioner = PARTITIONS.create(options, key="partition")
    return made


def labels(samples: int, classes: int = 10, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(classes, size=samples)


def test_every_client_sees_the_whole_pool_or_the_same_part_of_it() -> None:
    whole = Shared().assign(labels(50), clients=3, streams=Streams(0))
    assert [own.tolist() for own in whole.training] == [list(range(50))] * 3
    part = Shared(share=0.3, holdout=0.2).assign(labels(50), clients=2, streams=Streams(0))
    seen = [sorted([*own, *held]) for own, held in zip(part.training, part.holdouts, strict=True)]
    assert seen[0] == seen[1]
    assert [len(part.training[0]), len(part.holdouts[0])] == [12, 3]


def test_clients_see_their_classes_only_and_lists_go_round() -> None:
    targets = labels(200)
    dealt = Shared(classes=((0, 1), (5,))).assign(targets, clients=3, streams=Streams(0))
    assert [set(targets[own]) for own in dealt.training] == [{0, 1}, {5}, {0, 1}]
    assert len(dealt.training[0]) == np.isin(targets, [0, 1]).sum()


def test_a_shared_pool_has_no_place_for_classes_that_are_not_there() -> None:
    with pytest.raises(InvalidOption, match="from 0 to 9"):
        Shared(classes=((0, 10),)).check(Digits(), 100, 2)
    with pytest.raises(IllegalCombination, match="shuffled"):
        Shared(noise=0.5).check(Diabetes(), 100, 2)
    with pytest.raises(InvalidOption, match="poorest client has"):
        Shared(classes=((0,), (1,)), minimum=50).assign(labels(60, 2), clients=2, streams=Streams(0))


def test_central_teachers_can_see_so_many_samples_of_each_class() -> None:
    groups = labels(300, classes=7)
    dealt = create(name="shared", per_class=4).assign(groups, clients=2, streams=Streams(0))
    assert np.bincount(groups[dealt.training[0]]).tolist() == [4] * 7
    assert dealt.training[0].tolist() == dealt.training[1].tolist()
    with pytest.raises(IllegalCombination, match=r"partition\.share"):
        create(name="shared", per_class=4, share=0.5).check(Digits(), 100, 1)
