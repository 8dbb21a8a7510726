import os
from pathlib import Path

import pytest

from fedkd.foundation.durable import append_durably, write_all, write_atomically
from fedkd.foundation.errors import RunFolderError


def test_a_failed_write_keeps_the_old_content_and_leaves_no_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunFolderError, match=r"summary.json: cannot write: No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_arrives_whole_when_the_system_takes_a_few_bytes_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
    path = tmp_path / "pack"
    write_atomically(path, bytes(range(100)))
    append_durably(path, b"the rest")
    assert path.read_bytes() == bytes(range(100)) + b"the rest"


def test_writing_to_a_closed_file_says_so(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "x", os.O_CREAT | os.O_WRONLY)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_all(descriptor, b"x")
