import numpy as np
import pytest
import torch

from fedkd.data.archive import digest
from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import DataSet
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.parts import build
from fedkd.foundation.seeding import Streams

NAMES = ["diabetes", "diamonds", "digits", "fashion_mnist", "mnist_10k"]

GOLDEN = {
    "diabetes": "2132290f4c417cf1",
    "diamonds": "c3dab1b5b9a51f71",
    "digits": "1ac4ab3b0c914ba3",
    "fashion_mnist": "09a6ac84ef22bc42",
    "mnist_10k": "6edc7c6c636fe825",
}
"""Digest of the ids of the three splits and of the targets of the test part, for seed 0."""


def data_set(name: str, **options: object) -> DataSet:
    found: DataSet = build(DATASETS.find(name, key="data.name"), options, key="data")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_split_of_seed_0_is_the_same_on_every_machine(name: str) -> None:
    loaded = data_set(name).load(Streams(0))
    arrays = {part: getattr(loaded, part).ids.numpy() for part in ("train", "validation", "test")}
    raw = data_set(name).read()
    arrays["targets"] = np.rint(raw.targets[loaded.test.ids.numpy()].astype(np.float64) * 1000).astype(
        np.int64
    )
    assert digest(arrays)[:16] == GOLDEN[name]


def test_what_is_read_without_scikit_learn_is_what_scikit_learn_reads() -> None:
    from sklearn.datasets import load_diabetes, load_digits

    digits, read = load_digits(), data_set("digits").read()
    assert np.array_equal(read.views["image"][:, 0], digits.images)
    assert np.array_equal(read.targets, digits.target)
    study, read = load_diabetes(scaled=False), data_set("diabetes").read()
    assert np.array_equal(read.views["features"], study.data)
    assert np.array_equal(read.targets, study.target)


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_what_its_facts_say(name: str) -> None:
    chosen = data_set(name)
    loaded = chosen.load(Streams(3))
    parts = (loaded.train, loaded.validation, loaded.test)
    ids = torch.cat([part.ids for part in parts])
    assert sorted(ids.tolist()) == list(range(chosen.rows))
    assert [len(part) for part in parts] == [
        chosen.sizes().train,
        chosen.sizes().validation,
        chosen.sizes().test,
    ]
    assert dict(loaded.info.views) == {
        view: tuple(values.shape[1:]) for view, values in loaded.train.inputs.items()
    }
    assert all(values.dtype == torch.float32 for values in loaded.train.inputs.values())
    if loaded.info.task == "classification":
        assert loaded.train.targets.unique().tolist() == list(range(loaded.info.num_outputs))
        assert len(loaded.info.class_names) == loaded.info.num_outputs
        assert [float(end) for end in loaded.train.inputs["image"].aminmax()] == [0, 1]
    else:
        assert loaded.train.targets.shape == (len(loaded.train), 1)
        assert loaded.train.targets.dtype == torch.float32


@pytest.mark.parametrize("name", ["diabetes", "diamonds"])
def test_tables_and_numbers_are_standardised_by_the_training_pool_alone(name: str) -> None:
    loaded = data_set(name, samples=200).load(Streams(0))
    features = loaded.train.inputs["features"].double()
    assert torch.allclose(features.mean(0), torch.zeros(features.shape[1]).double(), atol=1e-5)
    spread = features.std(0, correction=0)
    assert (torch.isclose(spread, torch.ones(1).double(), atol=1e-4) | (spread == 0)).all()
    own_unit = loaded.test.targets.double() * loaded.info.target_std + loaded.info.target_mean
    assert np.allclose(own_unit[:, 0], data_set(name).read().targets[loaded.test.ids], rtol=1e-4)
    assert abs(float(loaded.test.targets.mean())) > 1e-6


def test_the_authors_test_part_is_the_test_part_whatever_the_share() -> None:
    loaded = data_set("fashion_mnist", test=0.5).load(Streams(0))
    assert loaded.test.ids.tolist() == list(range(60_000, 70_000))


def test_a_smaller_pool_is_part_of_a_larger_one_and_leaves_test_and_validation_alone() -> None:
    small, large = (data_set("digits", samples=size).load(Streams(0)) for size in (100, 300))
    assert set(small.train.ids.tolist()) < set(large.train.ids.tolist())
    assert torch.equal(small.test.ids, large.test.ids)
    assert torch.equal(small.validation.ids, large.validation.ids)
    assert len(data_set("digits", test_samples=50).load(Streams(0)).test) == 50


def test_another_seed_gives_another_split() -> None:
    first, second = (data_set("digits").load(Streams(seed)).test.ids for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"validation": 0.0}, "data.validation"),
        ({"test": 0.0}, "data.test"),
        ({"test": 1.0}, "data.test"),
        ({"validation": 0.5, "test": 0.6}, "data.validation"),
        ({"samples": 2000}, "data.samples"),
        ({"samples": 0}, "data.samples"),
        ({"test_samples": 400}, "data.test_samples"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_their_key(options: dict[str, object], key: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{key}: "):
        data_set("digits", **options).sizes()
