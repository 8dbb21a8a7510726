"""Folders, disks and caches that cannot be used: one line, nothing lost, nothing half-written."""

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedkd.foundation.run_folder import RunFolder

Command = Callable[..., Any]


def is_one_line(code: int, err: str, *words: str) -> None:
    assert code != 0
    assert err.startswith("fedkd: ")
    assert err.count("\n") == 1, err
    for word in words:
        assert word in err


@pytest.mark.parametrize("output", ["file", "file/below", "/proc/no/such/place"])
def test_an_output_that_cannot_be_made_is_one_line(output: str, command: Command) -> None:
    Path("file").write_text("mine")
    said = command("run", "runtime=inline", f"output={output}")
    is_one_line(said.code, said.err, output.removesuffix("/no/such/place"))
    assert [path.name for path in Path.cwd().iterdir()] == ["file"]
    assert Path("file").read_text() == "mine"


def test_an_output_that_holds_a_run_stays_as_it_is(command: Command) -> None:
    RunFolder.create(Path("old"), {"seed": 3}, {}).log("precious")
    before = {path: path.read_bytes() for path in Path("old").rglob("*") if path.is_file()}
    for arguments in (
        ["run", "output=old"],
        ["run", "--check", "output=old"],
        ["run", "-m", "seed=0,1", "output=old"],
    ):
        said = command(*arguments, "runtime=inline")
        is_one_line(said.code, said.err, "old", "holds a run already")
    assert {path: path.read_bytes() for path in Path("old").rglob("*") if path.is_file()} == before


def test_a_disk_without_room_is_one_line_and_no_folder(command: Command) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        said = command("run", "runtime=inline", "output=a/b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    is_one_line(said.code, said.err, "a/b", "cannot write")
    assert not list(Path.cwd().iterdir())


def test_a_cache_that_cannot_be_used_is_one_line_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path / "file/cache"))
    said = command("run", "data=fashion_mnist", "runtime=inline", "output=a/b")
    is_one_line(said.code, said.err, "fashion_mnist", "FEDKD_CACHE")
    assert not list(Path.cwd().iterdir())


def test_a_damaged_data_set_is_one_line_and_leaves_a_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    from fedkd.data.datasets.fashion_mnist import ARCHIVE

    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))
    ARCHIVE.path.write_bytes(b"not arrays")
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    said = command("run", "data=fashion_mnist", "runtime=inline", "output=out")
    is_one_line(said.code, said.err, "fashion_mnist", "damaged", "fedkd data fetch fashion_mnist")
    assert [str(path) for path in Path.cwd().rglob("*")] == [
        str(Path.cwd() / name) for name in ("out", "out/notes.txt")
    ]


def test_resuming_what_is_no_run_is_one_line(command: Command) -> None:
    Path("empty").mkdir()
    Path("file").write_text("")
    for place in ("empty", "file", "nowhere"):
        said = command("resume", place)
        is_one_line(said.code, said.err, place)
    assert sorted(path.name for path in Path.cwd().rglob("*")) == ["empty", "file"]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("environment.json", '{"format": 99}', "another version"),
        ("environment.json", "{", "environment.json"),
        ("config.yaml", "seed: [", "config.yaml"),
        ("config.yaml", "- seed", "config.yaml"),
        ("config.yaml", "seeed: 3", "method"),
    ],
)
def test_a_run_folder_that_is_not_ours_is_one_line_and_stays_as_it_is(
    name: str, content: str, word: str, command: Command
) -> None:
    folder = RunFolder.create(Path("old"), {"seed": 3}, {})
    (folder.path / name).write_text(content)
    before = {path: path.read_bytes() for path in Path("old").rglob("*") if path.is_file()}
    said = command("resume", "old")
    is_one_line(said.code, said.err, word)
    assert {path: path.read_bytes() for path in Path("old").rglob("*") if path.is_file()} == before
    shutil.rmtree("old")
