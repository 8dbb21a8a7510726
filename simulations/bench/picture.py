"""The picture of the benchmarks: how fast everyone is, as a multiple of the raw loop in two processes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from simulations.bench.tables import YARDSTICK, Report

OWN, OTHER = "#b3432b", "#8d99a6"


def draw(reports: Sequence[Report], path: Path) -> None:
    """Write one panel of bars for each report that has bars: medians, with their ranges as thin lines."""
    shown = [report for report in reports if report.bars]
    if not shown:
        return
    with mpl.rc_context({"font.size": 9}):
        heights = [len(report.bars) + 1.6 for report in shown]
        figure = Figure(figsize=(9, 0.3 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(shown), 1, height_ratios=heights, squeeze=False)[:, 0]
        for axis, report in zip(axes, shown, strict=True):
            _panel(axis, report)
        axes[-1].set_xlabel(f"clients per second, as a multiple of: {YARDSTICK}")
        figure.savefig(path, dpi=120)


def _panel(axis, report: Report) -> None:  # noqa: ANN001  (matplotlib's axes)
    bars = sorted(
        ((name, values) for name, values in report.bars.items() if values), key=lambda bar: np.median(bar[1])
    )
    for place, (name, values) in enumerate(bars):
        median, low, high = float(np.median(values)), min(values), max(values)
        axis.barh(place, median, color=OWN if name.startswith("fedkd") else OTHER, height=0.7)
        axis.plot([low, high], [place, place], color="black", linewidth=1)
        axis.annotate(f"{median:.2g}", (high, place), (4, 0), textcoords="offset points", va="center")
    axis.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axis.set_xlim(0, 1.12 * max(max(values) for _, values in bars))
    axis.set_yticks(range(len(bars)), [name for name, _ in bars])
    axis.set_title(report.title, loc="left", fontsize=9, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
