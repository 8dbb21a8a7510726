import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedkd.knowledge.arrays import LocalArray, filled


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        (MetricRecord, {"num-examples": 3, "loss": 0.5}),
        (ConfigRecord, {"kind": "logits", "ids": [1, 2]}),
        (ArrayRecord, {"w": LocalArray(np.arange(3.0))}),
        (RecordDict, {"metrics": MetricRecord({"num-examples": 3})}),
    ],
)
def test_a_record_that_is_filled_is_the_one_that_flower_makes_of_its_entries(
    kind: type, entries: dict[str, object]
) -> None:
    """What Flower keeps entries in is private: a version that moves it must be noticed."""
    found, expected = filled(kind(), entries), kind(entries)
    assert found == expected
    assert list(found.items()) == list(expected.items())
    found[next(iter(entries))] = next(iter(entries.values()))
    assert found == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "bool", ">f4"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 0, 2), (2, 3), (4, 1, 2, 3)])
def test_the_bytes_are_those_of_flowers_own_array(dtype: str, shape: tuple[int, ...]) -> None:
    numbers = np.asarray(np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    for values in (numbers, numbers.T, np.stack([numbers, numbers], axis=-1)[..., 1]):
        assert LocalArray(values).data == Array(values.copy(order="C")).data


def test_what_cannot_be_sent_has_no_bytes() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        _ = LocalArray(np.array([{}, {}])).data
