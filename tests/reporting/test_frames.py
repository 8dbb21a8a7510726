from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fedkd.foundation.errors import RunFolderError
from fedkd.foundation.run_folder import RunFolder
from fedkd.reporting.frames import find_runs, load_ledger, load_runs, load_summaries

MakeRun = Callable[..., RunFolder]


def test_each_metric_is_a_row_with_the_main_options_beside_it(make_run: MakeRun) -> None:
    folder = make_run(rounds=2, clients=3)
    frame = load_runs(folder.path)
    assert len(frame) == len((folder.path / "metrics.jsonl").read_text().splitlines())
    assert list(frame.columns) == [
        *("round", "scope", "client", "split", "metric", "value", "run"),
        *("method", "data", "partition", "partition.alpha", "model", "clients", "rounds", "seed"),
    ]
    assert set(frame["method"]) == {"dsfl"}
    assert set(frame["partition.alpha"]) == {0.1}
    assert frame["value"].dtype == float
    assert sorted(frame["client"].dropna().unique()) == [0, 1, 2]


def test_options_that_differ_between_runs_become_columns_and_paths_do_not(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", rounds=1)
    other = make_run("b", rounds=1)
    config = (other.path / "config.yaml").read_text().replace("temperature: 0.1", "temperature: 0.5")
    (other.path / "config.yaml").write_text(config)
    frame = load_runs(tmp_path)
    assert sorted(frame["method.fusion.temperature"].unique()) == [0.1, 0.5]
    assert "output" not in frame.columns
    assert "method.fusion" not in frame.columns


def test_globs_folders_and_lists_find_the_same_runs_once(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run("deep/er/a", rounds=1), make_run("b[1]", rounds=1)
    expected = [second.path, first.path]
    for pattern in (
        tmp_path,
        str(tmp_path),
        f"{tmp_path}/**",
        [first.path, f"{tmp_path}/b*"],
        [tmp_path, first.path],
    ):
        assert [folder.path for folder in find_runs(pattern)] == expected
    assert [folder.path for folder in find_runs(second.path)] == [second.path]


def test_baselines_kept_inside_a_run_count_only_when_they_are_named(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run("a", rounds=1)
    inner = make_run("a/baselines/fedavg", rounds=1)
    assert [folder.path for folder in find_runs(f"{tmp_path}/**")] == [run.path]
    assert [folder.path for folder in find_runs(inner.path)] == [inner.path]


def test_a_pattern_without_runs_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no run folder .a directory with"):
        load_runs(f"{tmp_path}/none/**")
    with pytest.raises(RunFolderError, match="no run folder"):
        load_runs([])


def test_a_line_that_was_being_written_does_not_count_and_a_damaged_one_is_named(make_run: MakeRun) -> None:
    folder = make_run(rounds=1)
    whole = load_runs(folder.path)
    with (folder.path / "metrics.jsonl").open("a") as record:
        record.write('{"round": 2, "sco')
    pd.testing.assert_frame_equal(load_runs(folder.path), whole)
    with (folder.path / "metrics.jsonl").open("a") as record:
        record.write("\n")
    with pytest.raises(RunFolderError, match=rf"metrics.jsonl: line {len(whole) + 1} is damaged"):
        load_runs(folder.path)


def test_a_run_that_has_measured_nothing_yet_adds_no_row(make_run: MakeRun, tmp_path: Path) -> None:
    full = make_run("a", rounds=1)
    RunFolder.create(tmp_path / "b", {"seed": 1}, {})
    assert set(load_runs(tmp_path)["run"]) == {str(full.path)}
    assert load_runs(tmp_path / "b").empty


def test_the_ledger_has_a_row_for_each_message(make_run: MakeRun) -> None:
    ledger = load_ledger(make_run(rounds=2, clients=3, size=1000).path)
    moved = ledger[ledger["phase"] == "train"].groupby("direction")["bytes"].sum()
    assert moved.to_dict() == {"down": 6000, "up": 6000}
    assert set(ledger["seed"]) == {0}


def test_summaries_have_a_row_for_each_finished_run(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", rounds=1)
    with pytest.raises(RunFolderError, match="no run has finished"):
        load_summaries(tmp_path)
    finished = make_run("b", seed=3, rounds=1)
    finished.write_json(
        "summary.json", {"final": {"student/test/accuracy": 0.5}, "bytes_up": 10, "seconds": 1.5}
    )
    summary = load_summaries(tmp_path)
    assert summary[["run", "seed", "student/test/accuracy", "bytes_up"]].to_dict("records") == [
        {"run": str(finished.path), "seed": 3, "student/test/accuracy": 0.5, "bytes_up": 10}
    ]
