"""`fedkd run` and `fedkd resume`: with a live display, and a report at the end."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

import fedkd.assembly.run as assembly
from fedkd.assembly.compose import compose
from fedkd.assembly.compose import sweep as combinations
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.run import Result
from fedkd.assembly.serve import start_folder
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
    planned = [_numbered(combination, number) for number, combination in enumerate(combinations(overrides))]
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
    with _no_trace(experiment) as folder:
        return _watched(folder, console)


def _watched(folder: Path, console: Console) -> Result:
    display = display_for(console)
    try:
        return assembly.resume(folder, display)
    except KeyboardInterrupt:
        raise Interrupted(folder) from None
    finally:
        display.stop()


@contextlib.contextmanager
def _no_trace(experiment: Experiment) -> Iterator[Path]:
    """Make the run folder; a run that ends in an error before anything was recorded leaves none behind."""
    given = experiment.settings.output
    wanted = Path(given) if given else Path("runs") / experiment.method.name / "run"
    ancestors = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
    folder = start_folder(experiment)
    try:
        yield folder.path
    except Interrupted:
        raise
    except FedkdError:
        if folder.load_checkpoint() is None:
            _remove(folder.path, whole=not given or wanted in ancestors)
            for parent in ancestors:
                with contextlib.suppress(OSError):
                    parent.rmdir()
        raise


def _remove(folder: Path, *, whole: bool) -> None:
    if whole:
        shutil.rmtree(folder, ignore_errors=True)
        return
    # The folder was there before, with who knows what in it.
    for name in (
        *run_folder.RECORDS,
        run_folder.LOG,
        run_folder.ENVIRONMENT,
        run_folder.CONFIG,
        run_folder.PARTITION,
    ):
        (folder / name).unlink(missing_ok=True)
    for name in ("checkpoints", "pictures"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _console() -> Console:
    # Flower logs each aggregation; what a user wants to know of it, the display says.
    logging.getLogger("flwr").setLevel(logging.WARNING)
    return Console()
