"""`fedkd data`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


def test_data_sets_are_listed_with_where_they_come_from(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))
    rows = {
        line.split("│")[1].strip(): line for line in command("data", "list").out.splitlines() if "│" in line
    }
    assert {"digits", "diabetes", "fashion_mnist", "mnist_10k", "diamonds", "ccexam"} <= rows.keys()
    assert "weights" in rows["ccexam"]
    assert rows["digits"].rstrip(" │").endswith("yes")
    assert rows["fashion_mnist"].rstrip(" │").endswith("no")
    assert "scikit-learn" in rows["digits"]


def test_an_embedded_data_set_is_there_without_fetching(command: Command) -> None:
    said = command("data", "fetch", "digits", "diabetes")
    assert said.code == 0
    assert said.out.splitlines()[0].startswith("digits: ")
    assert said.out.splitlines()[1].startswith("diabetes: ")


def test_a_data_set_that_cannot_be_stored_is_named_and_the_others_go_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path / "file/cache"))
    said = command("data", "fetch", "--all")
    assert said.code == 3
    assert [line.split(":")[1].split()[-1] for line in said.err.splitlines()] == [
        "cora",
        "diamonds",
        "diamonds",  # of which diamonds_grades is made
        "mnist_10k",  # of which digit_domains is made
        "fashion_mnist",
        "japanese_vowels",
        "keel",
        "kjv",
        "lastfm",
        "mfeat",
        "mnist_10k",
        "movielens",
        "newsgroups",
        "orl_faces",
        "shakespeare",
        "ccexam",
    ]
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["diabetes", "digits", "grammar"]
