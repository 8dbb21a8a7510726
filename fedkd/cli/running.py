"""`fedkd run` and `fedkd resume`: with a live display, and a report at the end."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import fedkd.assembly.run as assembly
from fedkd.assembly.compose import compose
from fedkd.assembly.compose import sweep as combinations
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.folders import fresh_folder
from fedkd.assembly.run import Result
from fedkd.cli.failures import DEBUG, Interrupted, OneLeftOut, say, unforeseen
from fedkd.cli.report import Row, report, sweep_table
from fedkd.foundation import run_folder
from fedkd.foundation.errors import FedkdError, RunFolderError
from fedkd.reporting.display import display_for


def run(overrides: Sequence[str], *, own: Path | None) -> int:
    """Run one experiment and report it; return the exit code."""
    console = _console()
    report(_one(overrides, own, console), console)
    return 0


def resume(folder: Path) -> int:
    """Continue a run and report it; return the exit code."""
    console = _console()
    report(_watched(folder, console), console)
    return 0


def sweep(overrides: Sequence[str], *, own: Path | None) -> int:
    """Run every combination, each in a folder of its own; one that fails is named, and the others go on.

    Raises:
        RunFolderError: the folder of the sweep holds a run itself.
        OneLeftOut: a combination failed; the others are done and reported.
    """
    console, rows = _console(), []
    planned = [
        _numbered(combination, number) for number, combination in enumerate(combinations(overrides, own=own))
    ]
    for number, combination in enumerate(planned):
        console.print(
            f"[{number + 1}/{len(planned)}] {' '.join(combination)}",
            style="bold",
            markup=False,
            soft_wrap=True,
        )
        try:
            rows.append(Row(combination, _one(combination, own, console)))
        except Interrupted:
            raise
        except FedkdError as error:
            say(f"run {number} failed: {error}", error.exit_code)
            rows.append(Row(combination, None, str(error)))
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            say(f"run {number} failed: {unforeseen(error)}", 1)
            rows.append(Row(combination, None, unforeseen(error)))
    console.print(sweep_table(rows))
    failed = [str(number) for number, row in enumerate(rows) if row.result is None]
    if failed:
        raise OneLeftOut(f"{len(failed)} of {len(rows)} runs failed: {', '.join(failed)}")
    return 0


def _numbered(overrides: list[str], number: int) -> list[str]:
    """Return the overrides of one run of a sweep: `output=DIR` names the folder of all, so this one's is DIR/number."""
    outputs = [override.removeprefix("output=") for override in overrides if override.startswith("output=")]
    if not outputs or outputs[-1] in {"", "null"}:
        return overrides
    parent = Path(outputs[-1].strip("'\""))
    if run_folder.holds_run(parent):
        raise RunFolderError(f"{parent}: holds a run already; name another output for the sweep")
    return [
        *(override for override in overrides if not override.startswith("output=")),
        f"output='{parent / str(number)}'",
    ]


def _one(overrides: Sequence[str], own: Path | None, console: Console) -> Result:
    experiment = Experiment.from_config(compose(overrides, own=own))
    with fresh_folder(experiment) as folder:
        return _watched(folder.path, console)


def _watched(folder: Path, console: Console) -> Result:
    display = display_for(console)
    try:
        return assembly.resume(folder, display)
    except KeyboardInterrupt:
        raise Interrupted(folder) from None
    finally:
        display.stop()


def _console() -> Console:
    # Flower logs each aggregation; what a user wants to know of it, the display says.
    logging.getLogger("flwr").setLevel(logging.WARNING)
    return Console()
