"""Making the folder of a run, and unmaking it when the run never began."""

import contextlib
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from fedkd.assembly.experiment import Experiment
from fedkd.foundation import run_folder
from fedkd.foundation.errors import FedkdError
from fedkd.foundation.run_folder import RunFolder, default_path

_REPORTED = ("fedkd", "flwr", "numpy", "pandas", "ray", "scikit-learn", "torch")


def start_folder(experiment: Experiment) -> RunFolder:
    """Make the run folder of an experiment.

    Raises:
        RunFolderError: there is a run already, or the folder cannot be made.
    """
    given = experiment.settings.output
    config = dict(experiment.resolved)
    path = (
        Path(given)
        if given
        else default_path(Path("runs"), experiment.method.name, config, datetime.now(UTC))
    )
    environment = {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "packages": {name: importlib.metadata.version(name) for name in _REPORTED},
    }
    return RunFolder.create(path, config, environment)


@contextlib.contextmanager
def fresh_folder(experiment: Experiment) -> Iterator[RunFolder]:
    """Make the run folder; a run that ends in an error before anything was recorded leaves none behind."""
    given = experiment.settings.output
    wanted = Path(given) if given else Path("runs") / experiment.method.name / "run"
    ancestors = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
    folder = start_folder(experiment)
    try:
        yield folder
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
