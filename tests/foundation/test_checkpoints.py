import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedkd.foundation._checkpoint_index import Index
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
        "round-000000.index",
        "round-000000.clients",
        "round-000001.blobs",
        "round-000001.clients",
    }
    store.save(2, {}, {1: b"d", 2: b"e"}, {})
    assert files(tmp_path) == {"latest.json", "round-000000.index", "round-000002.clients"}


def test_a_hundred_rounds_of_sampled_clients_stay_within_four_times_what_is_alive(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    states: dict[int, bytes] = {}
    indices = []
    for number in range(100):
        changed = {(7 * number + step) % 50: bytes([number]) * 1000 for step in range(5)}
        changed[99] = bytes([number]) * 1000
        states |= changed
        store.save(number, {}, changed, {})
        [index] = tmp_path.glob("*.index")
        indices.append(index.stat().st_size)
        if number % 9 == 0:
            loaded = CheckpointStore(tmp_path).load()
            assert loaded is not None
            assert loaded.clients == states
    used = sum(path.stat().st_size for path in tmp_path.glob("*.clients"))
    assert used <= 4 * sum(map(len, states.values()))
    assert max(indices) <= 4 * len(states) * 100


def test_a_save_costs_what_changed_however_many_clients_have_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = 0, os.write

    def counting(descriptor: int, content: bytes) -> int:
        nonlocal written
        done = write(descriptor, content)
        written += done
        return done

    costs = []
    for clients in (20, 2000):
        (tmp_path / str(clients)).mkdir()
        store = CheckpointStore(tmp_path / str(clients))
        store.save(0, {"student": b"w"}, dict.fromkeys(range(clients), b"state"), {})
        written = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", counting)
            patch.setattr(Index, "read", None)  # no line of the index is read again
            store.save(1, {"student": b"w"}, {3: b"state"}, {})
        costs.append(written)
    assert costs[1] <= costs[0] + 20


def test_a_state_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(0, {}, {1: b"a", 2: b"b"}, {})
    store.save(1, {}, {2: b"c"}, {})
    loaded = store.load()
    assert loaded is not None
    (tmp_path / "round-000000.clients").unlink()
    assert (list(loaded.clients), loaded.clients[2]) == ([1, 2], b"c")
    with pytest.raises(RunFolderError, match=r"round-000000.clients: missing or damaged"):
        loaded.clients[1]


def test_what_another_store_has_written_meanwhile_is_kept(tmp_path: Path) -> None:
    first, second = CheckpointStore(tmp_path), CheckpointStore(tmp_path)
    first.save(0, {}, {1: b"a", 2: b"b"}, {})
    second.save(1, {}, {2: b"c"}, {})
    first.save(2, {}, {1: b"d"}, {})
    loaded = second.load()
    assert loaded is not None
    assert loaded.clients == {1: b"d", 2: b"c"}


def test_a_save_that_fails_is_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")

    store = CheckpointStore(tmp_path)
    states = {1: b"a", 2: b"b"}
    store.save(0, {}, states, {})
    for moment in range(7):
        left = moment
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(RunFolderError, match="No space left"):
                store.save(1, {"student": b"w"}, {2: b"c"}, {})
        loaded = store.load()
        assert loaded is not None
        assert (loaded.round, loaded.clients) == (0, states)
    store.save(1, {}, {1: b"d"}, {})
    loaded = CheckpointStore(tmp_path).load()
    assert loaded is not None
    assert loaded.clients == {1: b"d", 2: b"b"}


def test_saving_the_same_round_again_never_writes_over_what_still_counts(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save(4, {"student": b"first"}, {1: b"x"}, {})
    store.save(4, {"student": b"second"}, {}, {})
    loaded = store.load()
    assert loaded is not None
    assert (loaded.blobs, loaded.clients) == ({"student": b"second"}, {1: b"x"})


class Crash(BaseException):
    """Power gone: nothing of the program may run after it."""


@pytest.mark.parametrize(
    ("earlier", "moment"),
    [*((1, moment) for moment in range(40)), *((4, moment) for moment in range(17, 29))],
)
def test_a_crash_at_any_system_call_leaves_the_old_checkpoint_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: int, moment: int
) -> None:
    old = Checkpoint(1, {"student": b"w1"}, {1: b"a1", 2: b"b1"}, {"metrics.jsonl": 10})
    new = Checkpoint(2, {"student": b"w2"}, {1: b"a1", 2: b"b2"}, {"metrics.jsonl": 20})
    store = CheckpointStore(tmp_path)
    for _ in range(earlier):  # after four, the index is written anew
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
        for name in ("open", "write", "fsync", "close", "replace", "rename", "unlink", "truncate"):
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
    store.save(2, {}, {1: b"a", 2: b"b"}, {})
    for damaged in (
        b"",
        whole := (tmp_path / "round-000002.index").read_bytes()[:-9],
        whole.replace(b"1", b"3"),
    ):
        (tmp_path / "round-000002.index").write_bytes(damaged)
        with pytest.raises(RunFolderError, match=r"round-000002.index: missing or damaged"):
            store.load()
    latest = (tmp_path / "latest.json").read_bytes()
    (tmp_path / "latest.json").write_bytes(latest.replace(b'"round": 2', b'"round": 3'))
    with pytest.raises(RunFolderError, match=r"latest.json: missing or damaged"):
        store.load()
    (tmp_path / "latest.json").write_bytes(latest[: len(latest) // 2])
    with pytest.raises(RunFolderError, match=r"latest.json: missing or damaged"):
        store.load()


def test_a_checkpoint_of_an_earlier_layout_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "latest.json").write_text('{"manifest": "round-000001.json", "sha256": "0"}')
    with pytest.raises(RunFolderError, match=r"latest.json: written by an earlier version"):
        CheckpointStore(tmp_path).load()
