import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedkd.foundation.checkpoints import Checkpoint, CheckpointStore
from fedkd.foundation.errors import RunFolderError


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_run_without_a_checkpoint_loads_none(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path).load() is None


def test_only_changed_clients_are_written_and_all_come_back(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(0, {"student": b"w0"}, {client: b"old%d" % client for client in range(10)}, {})
    store.save(1, {"student": b"w1", "any / name": b""}, {3: b"new3"}, {"metrics.jsonl": 7})
    assert (tmp_path / "round-000001.clients").read_bytes() == b"new3"
    expected = {client: b"old%d" % client for client in range(10)} | {3: b"new3"}
    assert CheckpointStore(tmp_path).load() == Checkpoint(
        1, {"student": b"w1", "any / name": b""}, expected, {"metrics.jsonl": 7}
    )


def test_files_that_nothing_refers_to_are_removed(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(0, {"student": b"w0"}, {1: b"a", 2: b"b"}, {})
    store.save(1, {"student": b"w1"}, {2: b"c"}, {})
    assert files(tmp_path) == {
        "latest.json",
        "round-000000.clients",
        "round-000001.json",
        "round-000001.blobs",
        "round-000001.clients",
    }
    store.save(2, {}, {1: b"d", 2: b"e"}, {})
    assert files(tmp_path) == {"latest.json", "round-000002.json", "round-000002.clients"}


def test_a_hundred_rounds_of_sampled_clients_stay_within_four_times_what_is_alive(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    states: dict[int, bytes] = {}
    for number in range(100):
        changed = {(7 * number + step) % 50: bytes([number]) * 1000 for step in range(5)}
        changed[99] = bytes([number]) * 1000
        states |= changed
        store.save(number, {}, changed, {})
    loaded = store.load()
    assert loaded is not None
    assert loaded.clients == states
    used = sum(path.stat().st_size for path in tmp_path.glob("*.clients"))
    assert used <= 4 * sum(map(len, states.values()))


def test_saving_the_same_round_again_never_writes_over_what_still_counts(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(4, {"student": b"first"}, {1: b"x"}, {})
    store.save(4, {"student": b"second"}, {}, {})
    loaded = store.load()
    assert loaded is not None
    assert (loaded.blobs, loaded.clients) == ({"student": b"second"}, {1: b"x"})


class Crash(BaseException):
    """Power gone: nothing of the program may run after it."""


@pytest.mark.parametrize("moment", range(40))
def test_a_crash_at_any_system_call_leaves_the_old_checkpoint_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    old = Checkpoint(1, {"student": b"w1"}, {1: b"a1", 2: b"b1"}, {"metrics.jsonl": 10})
    new = Checkpoint(2, {"student": b"w2"}, {1: b"a1", 2: b"b2"}, {"metrics.jsonl": 20})
    store = CheckpointStore(tmp_path)
    store.save(1, old.blobs, old.clients, old.offsets)
    calls = 0

    def crashing(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > moment:
                if original is write and calls == moment + 1:
                    write(args[0], bytes(args[1])[: len(args[1]) // 2])
                raise Crash
            return original(*args, **options)

        return call

    write = os.write
    with monkeypatch.context() as patch:
        for name in ("open", "write", "fsync", "close", "replace", "rename", "unlink"):
            patch.setattr(os, name, crashing(getattr(os, name)))
        try:
            store.save(2, new.blobs, {2: b"b2"}, new.offsets)
            crashed = False
        except Crash:
            crashed = True
    found = CheckpointStore(tmp_path).load()
    assert crashed == (calls > moment)
    assert found in ((old, new) if crashed else (new,))
    CheckpointStore(tmp_path).save(3, {"student": b"w3"}, {}, {})
    assert not [name for name in files(tmp_path) if name.endswith(".unfinished")]


def test_a_damaged_file_is_named_and_not_taken(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(1, {"student": b"weights"}, {}, {})
    (tmp_path / "round-000001.blobs").write_bytes(b"weighty")
    with pytest.raises(RunFolderError, match=r"round-000001.blobs: missing or damaged"):
        store.load()
    (tmp_path / "latest.json").write_bytes(b'{"mani')
    with pytest.raises(RunFolderError, match=r"latest.json: missing or damaged"):
        store.load()
