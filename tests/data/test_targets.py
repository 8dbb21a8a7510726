"""The table of targets: it knows every task, and a loaded set's targets have the shape that it says."""

from typing import get_args

import pytest

from fedkd.data.datasets import DATASETS
from fedkd.data.proxies.base import unknown_targets
from fedkd.data.targets import TARGETS, Task, targets_of
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.tasks import TASKS


def test_every_task_has_targets() -> None:
    assert TARGETS.keys() == TASKS.keys() == set(get_args(Task))
    with pytest.raises(
        InvalidOption, match=r"got 'regresion', allowed is one of classification.*did you mean 'regression'"
    ):
        targets_of("regresion")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("digits", {}),
        ("diabetes", {}),
        ("diabetes", {"predicts": "gaussian"}),
        ("grammar", {"letters": 2}),
    ],
)
def test_unknown_targets_are_shaped_as_those_of_the_data(data: str, options: dict[str, object]) -> None:
    loaded = DATASETS.create({"name": data, **options}, key="data").load(Streams(0))
    unknown = unknown_targets(loaded.info, len(loaded.test))
    assert unknown.shape == loaded.test.targets.shape
    assert unknown.dtype == loaded.test.targets.dtype
    assert (unknown.isnan() if loaded.info.targets.numbers else unknown == -1).all()
