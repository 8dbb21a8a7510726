from pathlib import Path
from typing import get_args

import pytest

from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import Task
from fedkd.data.fetch import fetch, inventory
from fedkd.data.pretrained import PRETRAINED
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.seeding import Streams

FETCHED = sorted(
    "ccexam cora diamonds diamonds_grades digit_domains fashion_mnist japanese_vowels keel kjv lastfm mfeat mnist_10k movielens newsgroups orl_faces shakespeare".split()  # noqa: SIM905
)


@pytest.mark.parametrize("name", ["diamonds", "fashion_mnist", "mnist_10k", "shakespeare"])
def test_a_set_is_fetched_from_nothing_checked_and_then_listed_as_present(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))
    assert {row.name for row in inventory() if not row.present} == set(FETCHED)
    path = fetch(name, progress=False)
    assert list(tmp_path.iterdir()) == [path]
    shared = DATASETS.find(name, key="data").shares_with
    assert {row.name for row in inventory() if not row.present} == set(FETCHED) - {name} - shared
    written = path.stat().st_mtime_ns
    assert fetch(name).stat().st_mtime_ns == written


def test_sets_that_come_with_a_package_need_no_fetching() -> None:
    assert fetch("digits").exists()
    assert {"digits", "diabetes"} <= {row.name for row in inventory() if row.present}


def test_a_name_that_is_almost_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(InvalidOption, match="did you mean 'fashion_mnist'"):
        fetch("fashionmnist")
    with pytest.raises(InvalidOption, match=r"ccexam.*did you mean 'ccexam'"):
        fetch("ccexm")


def test_every_row_says_where_from_how_large_and_under_which_licence() -> None:
    assert [row.name for row in inventory()] == [*DATASETS.names(), *PRETRAINED]
    assert all(row.origin and row.size and row.licence for row in inventory())
    assert {row.task for row in inventory()} <= {*get_args(Task), "weights"}


def test_a_set_that_is_not_there_is_fetched_when_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))
    loaded = DATASETS.create("diamonds", key="data").load(Streams(0))
    assert len(loaded.train) > 30_000
    assert len(list(tmp_path.iterdir())) == 1
