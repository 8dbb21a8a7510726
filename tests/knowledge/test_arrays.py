import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

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
