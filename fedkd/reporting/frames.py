"""Run folders as tidy pandas frames.

>>> frame = load_runs("runs/**")
>>> frame.query("scope == 'student' and split == 'test'").groupby(["method", "round"])["value"].mean()

Every row carries the config of its run as columns. An option has the name it has on the command line
(`partition.alpha`), a part is the column of its group (`method`, `partition`). The main options are always there; others
only where the loaded runs differ in them.

What lies inside a run folder belongs to that run: baselines kept below it are rows of its metrics already, so they are
not loaded a second time. Name such a folder itself to load it.
"""

import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fedkd.foundation.errors import RunFolderError
from fedkd.foundation.run_folder import CONFIG, LEDGER, METRICS, SUMMARY, LedgerRow, MetricRow, RunFolder

Pattern = str | Path | Sequence[str | Path]
"""A folder (searched to its depths), a glob such as `runs/**`, or several of them."""

MAIN = (
    "method",
    "data",
    "partition",
    "partition.alpha",
    "proxy",
    "model",
    "student",
    "clients",
    "clients_per_round",
    "rounds",
    "seed",
)
"""Options that are columns whether or not runs differ in them."""

_BOOKKEEPING = ("output", "runtime", "display", "hydra")


def load_runs(pattern: Pattern) -> pd.DataFrame:
    """Load the metrics of runs: one row per measured number, with the columns of `metrics.jsonl`, `run` and the config.

    Raises:
        RunFolderError: no run is there, or one cannot be read.
    """
    return _load(pattern, METRICS, MetricRow)


def load_ledger(pattern: Pattern) -> pd.DataFrame:
    """Load the ledgers of runs: one row per message, with the columns of `ledger.jsonl`, `run` and the config.

    Raises:
        RunFolderError: no run is there, or one cannot be read.
    """
    return _load(pattern, LEDGER, LedgerRow)


def load_summaries(pattern: Pattern) -> pd.DataFrame:
    """Load the summaries of finished runs: one row per run, with a column for each number and each final score.

    A final score is a column such as `student/test/accuracy`. Runs that have not finished are left out.

    Raises:
        RunFolderError: no finished run is there, or one cannot be read.
    """
    folders = [folder for folder in find_runs(pattern) if (folder.path / SUMMARY).exists()]
    if not folders:
        raise RunFolderError(f"{_words(pattern)}: no run has finished; continue one with `fedkd resume`")
    columns = _run_columns(folders)
    rows = []
    for folder, run in zip(folders, columns, strict=True):
        summary = folder.read_json(SUMMARY)
        final = summary.pop("final", {})
        rows.append(
            {
                **run,
                **{key: value for key, value in summary.items() if not isinstance(value, dict | list)},
                **final,
            }
        )
    return pd.DataFrame(rows)


def find_runs(pattern: Pattern) -> list[RunFolder]:
    """Find run folders, sorted by path; a run folder is a directory with a config and metrics.

    Raises:
        RunFolderError: there is none, or one was written by another version.
    """
    patterns = [pattern] if isinstance(pattern, str | Path) else list(pattern)
    found = {
        path.absolute(): path for one in patterns for start in _expand(one) for path in _runs_below(start)
    }
    tops = [
        path
        for absolute, path in sorted(found.items())
        if not any(parent in found for parent in absolute.parents)
    ]
    if not tops:
        raise RunFolderError(
            f"{_words(pattern)}: no run folder (a directory with {CONFIG} and {METRICS}) is there"
        )
    return [RunFolder.open(path) for path in tops]


def _words(pattern: Pattern) -> str:
    return str(pattern) if isinstance(pattern, str | Path) else ", ".join(map(str, pattern))


def _expand(pattern: str | Path) -> Iterator[Path]:
    start = Path(pattern).expanduser()
    if start.is_dir():  # a folder's name may hold characters that mean something in a glob
        yield start
        return
    names = glob.glob(str(start), recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    yield from (path for path in map(Path, sorted(names)) if path.is_dir())


def _runs_below(start: Path) -> Iterator[Path]:
    for directory, below, files in os.walk(start):
        if CONFIG in files and METRICS in files:
            below.clear()
            yield Path(directory)


def _load(pattern: Pattern, record: str, row_type: type) -> pd.DataFrame:
    folders = find_runs(pattern)
    names = list(row_type.__annotations__)
    frames = []
    for folder, run in zip(folders, _run_columns(folders), strict=True):
        frame = pd.DataFrame(_rows(folder.path / record), columns=names)
        frame["client"] = frame["client"].astype("Int64")
        if "value" in names:
            frame["value"] = frame["value"].astype(float)
        for name, value in run.items():
            if name not in names:
                frame[name] = value
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read a record; a last line without its end was being written when the run stopped, and does not count."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as record:
        for number, line in enumerate(record, start=1):
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise RunFolderError(f"{path}: line {number} is damaged: {error}") from error


def _run_columns(folders: Sequence[RunFolder]) -> list[dict[str, Any]]:
    configs = [dict(_flatten(folder.config())) for folder in folders]
    names = list(dict.fromkeys(name for config in configs for name in config))
    shown = [name for name in names if name in MAIN or _differ(name, configs)]
    ordered = [*(name for name in MAIN if name in shown), *(name for name in shown if name not in MAIN)]
    return [
        {"run": str(folder.path), **{name: config.get(name) for name in ordered}}
        for folder, config in zip(folders, configs, strict=True)
    ]


def _differ(name: str, configs: Sequence[Mapping[str, Any]]) -> bool:
    if name.split(".", maxsplit=1)[0] in _BOOKKEEPING:
        return False
    return any(config.get(name) != configs[0].get(name) for config in configs)


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if "name" in value:
                yield name, value["name"]
            yield from _flatten(
                {inner: entry for inner, entry in value.items() if inner != "name"}, f"{name}."
            )
        elif isinstance(value, list):
            yield name, json.dumps(value)
        else:
            yield name, value
