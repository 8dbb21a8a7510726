"""`fedkd calibrate`: which engine is faster here, measured."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from fedkd.assembly.calibrating import calibrate
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.engine.calibration import verdicts_path


def measure(overrides: Sequence[str], *, own: Path | None) -> None:
    """Time both engines for the clients of a config, and write what was found; it is kept for later runs."""
    torch.set_num_threads(1)
    experiment = Experiment.from_config(compose(overrides, own=own))
    console = Console()
    table = Table("architecture", "sequential, s", "vectorised, s", "vectorised is so many times as fast")
    with console.status("timing both engines ..."):
        for one in calibrate(experiment):
            table.add_row(one.name, _range(one.sequential), _range(one.vectorised), f"{one.ratio:.2f}")
    console.print(table)
    console.print(f"kept in {verdicts_path()}: engine=auto goes by it", highlight=False, markup=False)


def _range(seconds: Sequence[float]) -> str:
    return f"{sorted(seconds)[len(seconds) // 2]:.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"
