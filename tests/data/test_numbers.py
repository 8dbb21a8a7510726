"""Sets of numbers: what networks say of them, and what is wrong with the numbers that they learn."""

from itertools import pairwise

import pytest
import torch

from fedkd.data.datasets.base import Loaded
from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.federated import federate
from fedkd.data.partitions.shared import Shared
from fedkd.data.proxies.base import unknown_targets
from fedkd.data.proxies.train import Train
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams


def loaded(**options: object) -> Loaded:
    return Diabetes(**options).load(Streams(0))  # type: ignore[arg-type]


def test_a_gaussian_is_two_outputs_for_a_target_of_one_number() -> None:
    said, plain = loaded(predicts="gaussian"), loaded()
    assert (said.info.task, said.info.num_outputs, said.info.target_width) == ("gaussian_regression", 2, 1)
    assert (plain.info.task, plain.info.num_outputs, plain.info.target_width) == ("regression", 1, 1)
    assert torch.equal(said.train.targets, plain.train.targets)
    assert unknown_targets(said.info, 3).shape == (3, 1)
    assert Diabetes().num_outputs == 1


def test_noise_has_the_deviation_that_is_said_in_the_training_pool_alone() -> None:
    clean, noisy = loaded(), loaded(label_noise=0.5)
    added = noisy.train.targets - clean.train.targets
    assert float(added.std()) == pytest.approx(0.5, rel=0.1)
    for part in ("validation", "test"):
        assert torch.equal(getattr(noisy, part).targets, getattr(clean, part).targets)
    assert (noisy.info.target_mean, noisy.info.target_std) == (clean.info.target_mean, clean.info.target_std)


def test_more_noise_is_a_multiple_of_less_and_few_gross_errors_are_a_part_of_many() -> None:
    clean, little, much, few, many = (
        loaded(**options).train.targets
        for options in ({}, {"label_noise": 0.5}, {"label_noise": 1.0}, {"outliers": 0.1}, {"outliers": 0.3})
    )
    torch.testing.assert_close(much - clean, 2 * (little - clean), rtol=1e-4, atol=1e-4)
    wrong = [(targets - clean).abs() > 1e-3 for targets in (few, many)]
    assert [float(one.float().mean()) for one in wrong] == pytest.approx([0.1, 0.3], abs=0.05)
    assert all(bool((more | ~less).all()) for less, more in pairwise(wrong))
    moved = (many - clean)[wrong[1]]
    assert moved.abs().tolist() == pytest.approx([5.0] * len(moved), abs=1e-4)
    assert (moved > 0).any()
    assert (moved < 0).any()


def test_the_noise_of_a_sample_does_not_depend_on_the_size_of_the_pool() -> None:
    noise = {
        size: (
            loaded(samples=size, label_noise=1.0).train,
            loaded(samples=size).train,
            loaded(samples=size).info.target_std,
        )
        for size in (100, 200)
    }
    added = {
        size: dict(zip(noisy.ids.tolist(), (noisy.targets - clean.targets)[:, 0].tolist(), strict=True))
        for size, (noisy, clean, _) in noise.items()
    }
    assert {key: added[200][key] for key in added[100]} == pytest.approx(added[100], abs=1e-5)


def test_clients_and_proxy_set_see_the_same_noise() -> None:
    data = federate(Diabetes(label_noise=1.0), Shared(), Train(), 2, Streams(0))
    assert data.proxy is not None
    assert torch.equal(data.proxy.targets, data.client_train(1).targets)


def test_shifted_numbers_are_one_deviation_too_large_for_the_share_of_each_client() -> None:
    data = federate(Diabetes(), Shared(noise=(0.0, 0.5, 1.0), wrong="shifted"), None, 3, Streams(0))
    for client, share in enumerate((0.0, 0.5, 1.0)):
        moved = data.client_train(client).targets - data.train.targets
        assert int((moved > 0.5).sum()) == round(share * len(moved))
        assert set(moved.round(decimals=4).flatten().tolist()) <= {0.0, 1.0}


def test_classes_cannot_be_shifted() -> None:
    from fedkd.data.datasets.digits import Digits

    with pytest.raises(IllegalCombination, match="wrong=shifted is about numbers, data=digits has classes"):
        Shared(noise=0.5, wrong="shifted").check(Digits(), 1000, 2)
