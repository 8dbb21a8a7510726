"""`fedkd calibrate`: which engine is faster here, measured."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from fedkd.assembly.calibrating import Measured, Skipped, calibrate
from fedkd.assembly.compose import compose
from fedkd.engine.calibration import verdicts_path


def measure(overrides: Sequence[str], *, own: Path | None) -> None:
    """Time both engines for the clients of a config, and write what was found; it is kept for later runs."""
    torch.set_num_threads(1)
    console = Console()
    table = Table("architecture", "sequential, s", "vectorised, s", "vectorised is so many times as fast")
    lines = []
    with console.status("timing both engines ..."):
        for one in calibrate(compose(overrides, own=own)):
            if isinstance(one, Measured):
                table.add_row(
                    one.name, _range(one.sequential, 3), _range(one.vectorised, 3), _range(one.ratios, 2)
                )
            lines.append(f"{one.name}: {_outcome(one)}")
    if table.rows:
        console.print(table)
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _outcome(one: Measured | Skipped) -> str:
    if isinstance(one, Skipped):
        return f"not measured: {one.reason}"
    if one.verdict is None:
        return "no difference seen; the rule decides"
    name = "vectorised" if one.verdict else "sequential"
    return f"{name}, kept in {verdicts_path()}: engine=auto goes by it"


def _range(values: Sequence[float], digits: int) -> str:
    middle = sorted(values)[len(values) // 2]
    return f"{middle:.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"
