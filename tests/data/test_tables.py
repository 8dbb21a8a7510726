import numpy as np
import pytest
import torch

from fedkd.data.datasets.digits import Digits
from fedkd.data.datasets.keel import Keel
from fedkd.data.datasets.mfeat import Mfeat
from fedkd.data.datasets.newsgroups import Newsgroups
from fedkd.data.proxies.dataset import OtherDataSet
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams


def test_the_views_of_a_digit_are_of_the_same_digit() -> None:
    train = Mfeat().load(Streams(0)).train
    assert list(train.inputs) == list(Mfeat.views)
    assert train.targets.bincount().min() > 100
    means = [
        torch.stack([view[train.targets == one].mean(0) for one in range(10)])
        for view in train.inputs.values()
    ]
    for view, mean in zip(train.inputs.values(), means, strict=True):
        nearest = torch.cdist(view, mean).argmin(dim=1)
        assert (nearest == train.targets).float().mean() > 0.4


def test_every_digit_of_digits_is_in_optdigits_and_one_is_no_proxy_set_of_the_other() -> None:
    known = {row.tobytes() for row in Keel(table="optdigits").read().views["image"].astype(np.float64)}
    assert all(row.tobytes() in known for row in Digits().read().views["image"])
    with pytest.raises(IllegalCombination, match="holds samples of data=keel"):
        OtherDataSet(dataset="digits").check(Keel(table="optdigits"), 1000)


@pytest.mark.parametrize("table", ["letter", "optdigits", "penbased", "satimage"])
def test_a_table_is_what_its_facts_say(table: str) -> None:
    data = Keel(table=table)  # type: ignore[arg-type]
    loaded = data.load(Streams(0))
    assert sum(map(len, (loaded.train, loaded.validation, loaded.test))) == data.rows
    assert loaded.train.targets.unique().tolist() == list(range(data.num_outputs))


def test_words_are_chosen_and_weighed_by_the_training_pool_alone() -> None:
    small, large = (Newsgroups(words=100, samples=size).load(Streams(0)) for size in (500, 5000))
    assert not torch.equal(small.test.inputs["features"], large.test.inputs["features"])
    lengths = large.test.inputs["features"].norm(dim=1)
    assert torch.allclose(lengths[lengths > 0], torch.ones(1), atol=1e-5)
    assert large.test.ids.tolist() == list(range(11_293, 18_821))
