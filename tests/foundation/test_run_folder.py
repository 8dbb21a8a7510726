import datetime as dt
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedkd.foundation.errors import RunFolderError
from fedkd.foundation.run_folder import MetricRow, RunFolder, default_path, metric

CONFIG = {"seed": 0, "method": {"name": "dsfl", "temperature": 0.1}, "model": ["mlp", "lenet"]}


def make(path: Path) -> RunFolder:
    return RunFolder.create(path, CONFIG, {"python": "3.11"})


def row(number: int, value: float | None = 0.5) -> MetricRow:
    return metric(round=number, scope="student", split="test", metric="accuracy", value=value)


def test_a_new_folder_has_every_file_and_gives_its_config_back(tmp_path: Path) -> None:
    folder = make(tmp_path / "runs" / "a")
    names = {path.name for path in folder.path.iterdir()}
    assert names == {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "timings.jsonl",
        "ledger.jsonl",
        "log.txt",
        "checkpoints",
        "pictures",
    }
    assert RunFolder.open(folder.path).config() == CONFIG


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    folder.append_metrics([row(0)])
    before = {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}
    with pytest.raises(RunFolderError, match=r"holds a run already.*fedkd resume"):
        make(folder.path)
    assert before == {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()}


def test_records_without_a_config_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(RunFolderError, match="holds a run already"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_folder_that_cannot_be_written_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        make(blocked)
    with pytest.raises(RunFolderError, match=r"cannot .*Not a directory"):
        make(blocked / "below" / "it")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_config_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def full_disk(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) > 9:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(RunFolderError, match="No space left on device; free space"):
        make(tmp_path / "runs" / "demo" / "a")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunFolderError, match="No space left"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk_is_one_clear_line_and_cuts_the_torn_line_off(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    folder.append_metrics([row(0)])
    before = (folder.path / "metrics.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(RunFolderError, match="cannot append: File too large"):
            folder.append_metrics([row(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert (folder.path / "metrics.jsonl").read_bytes() == before


def test_a_folder_of_another_version_is_named_as_such(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    folder.write_json("environment.json", {"format": 99})
    with pytest.raises(RunFolderError, match=r"another version .format 99.*reads format 1"):
        RunFolder.open(folder.path)
    (folder.path / "environment.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"environment.json: cannot be read"):
        RunFolder.open(folder.path)


def test_a_directory_without_a_run_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        RunFolder.open(tmp_path)


def test_metrics_are_the_same_bytes_whatever_number_types_they_came_in(tmp_path: Path) -> None:
    plain, numpy = make(tmp_path / "a"), make(tmp_path / "b")
    plain.append_metrics([row(1, 1.0), row(2, float("nan"))])
    numpy.append_metrics([row(np.int64(1), np.float64(1)), row(np.int32(2), np.float32("inf"))])
    content = (plain.path / "metrics.jsonl").read_bytes()
    assert content == (numpy.path / "metrics.jsonl").read_bytes()
    first, second = content.decode().splitlines()
    assert first == (
        '{"round": 1, "scope": "student", "client": null, "split": "test", "metric": "accuracy", "value": 1.0}'
    )
    assert json.loads(second)["value"] is None


def test_truncating_to_remembered_offsets_forgets_only_what_came_after(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    folder.append_metrics([row(0)])
    offsets = folder.offsets()
    kept = (folder.path / "metrics.jsonl").read_bytes()
    folder.append_metrics([row(1)])
    folder.append_timings([{"round": 1, "phase": "train", "seconds": 0.25}])
    folder.append_ledger(
        [{"round": 1, "phase": "train", "client": 3, "direction": "up", "bytes": 12, "payload": 8}]
    )
    folder.truncate(offsets)
    assert (folder.path / "metrics.jsonl").read_bytes() == kept
    assert folder.offsets() == {"metrics.jsonl": len(kept), "timings.jsonl": 0, "ledger.jsonl": 0}


def test_a_record_that_lost_lines_since_the_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    with pytest.raises(RunFolderError, match="has 0 bytes, had 40"):
        folder.truncate({"metrics.jsonl": 40})


def test_a_checkpoint_remembers_the_offsets_of_its_moment(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    folder.append_metrics([row(0)])
    offsets = folder.offsets()
    folder.save_checkpoint(0, {"student": b"w"}, {})
    folder.append_metrics([row(1)])
    found = RunFolder.open(folder.path).load_checkpoint()
    assert found is not None
    assert (found.round, found.offsets) == (0, offsets)


def test_the_log_has_a_line_for_each_call(tmp_path: Path) -> None:
    folder = make(tmp_path / "a")
    folder.log("client 3 returned NaN")
    folder.log("done")
    assert [line.split(" ", 1)[1] for line in (folder.path / "log.txt").read_text().splitlines()] == [
        "client 3 returned NaN",
        "done",
    ]


def test_the_default_path_tells_the_time_and_differs_between_configs(tmp_path: Path) -> None:
    now = dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    first = default_path(tmp_path, "demo", {"seed": 0}, now)
    assert first.parent == tmp_path / "demo"
    assert first.name.startswith("20300102-030405-")
    assert first != default_path(tmp_path, "demo", {"seed": 1}, now)
    assert first == default_path(tmp_path, "demo", {"seed": 0}, now)


def test_importing_the_run_folder_brings_in_nothing_heavy() -> None:
    heavy = "{'torch', 'ray', 'flwr', 'pandas', 'matplotlib'}"
    code = f"import sys, fedkd.foundation.run_folder; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
