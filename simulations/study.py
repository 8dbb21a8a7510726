"""What every study does alike: runs that can be interrupted, a choice on validation data, paired intervals on test data.

>>> study = Study("fd_trails_fedavg", seeds=range(5))
>>> study.run({"FD": ["method=fd"], "FedAvg": ["method=fedavg"]}, common=["data=fashion_mnist"], grid=["method.client.fit.optimizer.lr=0.03"])
"""

import argparse
import itertools
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy import stats

import fedkd
from fedkd.foundation.run_folder import SUMMARY, RunFolder, holds_run

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Interval:
    """A mean over paired seeds with its 95 % interval (Student's t)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Return the interval of the mean of independent values; one value has no interval."""
        data = np.asarray(values, dtype=float)
        mean = float(data.mean())
        if len(data) < 2 or float(data.std()) == 0.0:
            return cls(mean, mean, mean)
        low, high = stats.t.interval(0.95, len(data) - 1, loc=mean, scale=stats.sem(data))
        return cls(mean, float(low), float(high))

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    def points(self) -> str:
        """Return the interval in percentage points."""
        return f"{100 * self.mean:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"

    def percent(self) -> str:
        """Return the interval in percent."""
        return f"{100 * self.mean:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Sheet:
    """A table under a title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Study:
    """Runs arms over paired seeds below `runs/studies/NAME`; what is complete is not run again, what was begun is resumed.

    Args:
        name: names the folder of the runs and the files of the results.
        seeds: root seeds; every arm sees each of them, so that data, splits and initial weights are paired.
        root: folder below which the runs are kept.
    """

    def __init__(self, name: str, seeds: Iterable[int], root: Path = Path("runs/studies")) -> None:
        self.name, self.seeds, self.folder = name, list(seeds), root / name
        self.console = Console()

    def run(
        self, arms: Mapping[str, Sequence[str]], *, common: Sequence[str], grid: Sequence[str] = ("",)
    ) -> pd.DataFrame:
        """Run every arm at every point of a grid with every seed.

        Args:
            arms: overrides of each arm, by its name.
            common: overrides of all arms.
            grid: overrides of each grid point, separated by blanks; the choice among them is made on validation data.

        Returns:
            One row per run: arm, point, seed, folder, seconds, bytes, and every final `<scope>/<split>/<metric>`.
        """
        logging.getLogger("flwr").setLevel(logging.ERROR)
        rows = []
        # Seed by seed, so that what stands when a study is interrupted is whole seeds.
        for seed, (arm, own), (point, chosen) in itertools.product(self.seeds, arms.items(), enumerate(grid)):
            folder = self.folder / slug(arm) / str(point) / str(seed)
            result = self._one(folder, [*common, *own, *chosen.split(), f"seed={seed}"])
            seconds = result.summary["seconds"]
            place = {"arm": arm, "point": point, "seed": seed, "folder": folder, "seconds": seconds}
            rows.append({**place, **result.final, **_bytes(result.summary)})
            self.console.print(f"{arm}, point {point}, seed {seed}: {seconds:.0f} s", style="dim")
        return pd.DataFrame(rows)

    def show(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        verdict: str,
        *,
        further: Iterable[Sheet] = (),
        command: str | None = None,
    ) -> None:
        """Print a table and write it, with further ones and the verdict, to `simulations/results/NAME.md`."""
        lines: list[str] = []
        for level, sheet in enumerate([Sheet(title, columns, [list(row) for row in rows]), *further]):
            table = Table(title=sheet.title)
            for column in sheet.columns:
                table.add_column(column)
            for row in sheet.rows:
                table.add_row(*row)
            self.console.print(table)
            lines += [f"{'##' if level else '#'} {sheet.title}", "", "| " + " | ".join(sheet.columns) + " |"]
            lines += ["|" + "---|" * len(sheet.columns)]
            lines += ["| " + " | ".join(row) + " |" for row in sheet.rows]
            lines.append("")
        self.console.print(verdict)
        lines += [verdict, "", f"Made by `{command or f'python -m simulations.{self.name}'}`.", ""]
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.md").write_text("\n".join(lines), encoding="utf-8")

    def picture(self, figure: Figure) -> None:
        """Write the picture of the study beside its table."""
        RESULTS.mkdir(exist_ok=True)
        figure.savefig(RESULTS / f"{self.name}.png", dpi=120)

    def _one(self, folder: Path, overrides: Sequence[str]) -> fedkd.Result:
        if (folder / SUMMARY).exists():
            return fedkd.Result(folder, RunFolder.open(folder).read_json(SUMMARY))
        if holds_run(folder):
            return fedkd.resume(folder)
        return fedkd.run(*overrides, f"output={folder}")


def by_client(runs: pd.DataFrame, metric: str, split: str, *, names: Sequence[str]) -> pd.DataFrame:
    """Return a metric of each client in the end, [seeds, clients], of runs that are indexed by their seed."""
    rows = {}
    for seed, folder in runs["folder"].items():
        frame = fedkd.load_runs(str(folder))
        own = frame[(frame["scope"] == "client") & (frame["metric"] == metric) & (frame["split"] == split)]
        rows[seed] = own.set_index(own["client"].astype(int))["value"].sort_index().to_list()
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(names)).sort_index()


def bars(axes: Axes, found: Mapping[str, Interval], colors: Sequence[str]) -> None:
    """Draw shares as bars in percent with their intervals, one below the other, each with its name."""
    means = [100 * one.mean for one in found.values()]
    spread = [
        [100 * (one.mean - one.low) for one in found.values()],
        [100 * (one.high - one.mean) for one in found.values()],
    ]
    axes.barh(range(len(found)), means, xerr=spread, capsize=3, color=list(colors), alpha=0.8)
    axes.set_yticks(range(len(found)), list(found), fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=True, axis="x", alpha=0.3)


def slug(arm: str) -> str:
    """Return the name of an arm as a folder name that needs no quoting on a command line."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", arm)


def choose(frame: pd.DataFrame, arm: str, column: str) -> pd.DataFrame:
    """Return an arm's runs at the grid point that is best on average in a validation column."""
    own = frame[frame["arm"] == arm]
    best = own.groupby("point")[column].mean().idxmax()
    return own[own["point"] == best].set_index("seed").sort_index()


def seeds_from_command_line(description: str | None, default: int = 5) -> range:
    """Return the seeds that the command line asks for (`--seeds N`)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--seeds", type=int, default=default, help=f"number of paired seeds (default {default})"
    )
    return range(parser.parse_args().seeds)


def _bytes(summary: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in summary.items() if key.startswith(("bytes_", "payload_"))}
