"""Pictures of how a score develops: by round, by bytes, and over seeds.

>>> accuracy_by_round(load_runs("runs/demo")).savefig("accuracy_by_round.png")
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedkd.foundation.errors import InvalidOption
from fedkd.reporting.canvas import (
    FAINT,
    GREY,
    SCOPE_LINES,
    Line,
    blank,
    legend_beside,
    nth_line,
    whole_numbers,
)
from fedkd.reporting.measures import metric_words, primary_metric, report_split, scope_words

_FEW = 25
"""Up to this many points each has its marker."""

_WORST_R2 = -1.0
"""R squared has no lower end; below this, how bad a model is says nothing, and hides the good ones."""


def accuracy_by_round(frame: pd.DataFrame) -> Figure:
    """Draw student, ensembles and clients by round; the band is from the worst client to the best on the same data.

    Where the frame has several runs, the lines are their mean.

    Args:
        frame: metrics, from `load_runs`.
    """
    metric, split = primary_metric(set(frame["metric"])), report_split(set(frame["split"]))
    chosen = frame[(frame["metric"] == metric) & (frame["split"] == split)]
    figure, axes = blank()
    for scope, line in SCOPE_LINES.items():
        curve = chosen[chosen["scope"] == scope].groupby("round")["value"].mean().dropna()
        if len(curve):
            _plot(axes, curve.index.to_numpy(), curve.to_numpy(), line, scope_words(scope))
    clients = chosen[chosen["scope"] == "client"].dropna(subset="value")
    if len(clients):
        spread = clients.groupby("round")["value"].agg(["min", "max"])
        axes.fill_between(
            spread.index,
            spread["min"],
            spread["max"],
            color=FAINT,
            alpha=0.7,
            linewidth=0,
            zorder=1,
            label="clients, worst to best",
        )
    _label_score(axes, metric, split)
    _label_rounds(axes)
    legend_beside(figure, axes)
    return figure


def accuracy_by_bytes(frame: pd.DataFrame, ledger: pd.DataFrame) -> Figure:
    """Draw the score of the main model against all bytes, up and down, that were needed to get there.

    Messages that only evaluate are left out: a federation does not need them to learn. What is shipped once counts
    from the start. There is a line for each run, in the colour of its method.

    Args:
        frame: metrics, from `load_runs`.
        ledger: message sizes of the same runs, from `load_ledger`.
    """
    metric, split = primary_metric(set(frame["metric"])), report_split(set(frame["split"]))
    chosen = frame[(frame["metric"] == metric) & (frame["split"] == split)]
    figure, axes = blank()
    sizes = ledger[ledger["phase"] != "evaluate"].groupby(["run", "round"], sort=True)["bytes"].sum()
    curves = []
    for run, rows in chosen.groupby("run", sort=False):
        scope = _main_scope(rows)
        score = _curve(rows, scope)
        moved = sizes[sizes.index.get_level_values("run") == run].droplevel("run")
        name = f"{rows['method'].iloc[0]}, {scope_words(scope)}" if "method" in rows else scope_words(scope)
        so_far = (
            moved.cumsum().reindex(score.index, method="ffill").fillna(0.0)
        )  # rounds without a score move bytes too
        curves.append((name, so_far, score))
    scale, unit = _unit(max((curve[1].max() for curve in curves if len(curve[1])), default=0.0))
    names = list(dict.fromkeys(name for name, _, _ in curves))
    for name, moved, score in curves:
        label = name if name not in axes.get_legend_handles_labels()[1] else "_again"
        _plot(axes, moved.to_numpy() / scale, score.to_numpy(), nth_line(names.index(name)), label)
    _label_score(axes, metric, split)
    axes.set_xlabel(f"bytes sent and received by all clients so far, evaluation left out ({unit})")
    axes.set_xlim(left=0)
    legend_beside(figure, axes)
    return figure


def seeds_band(frame: pd.DataFrame, by: str | Sequence[str] = "method") -> Figure:
    """Draw the mean over seeds and its 95 % interval (Student's t) by round, one line for each value of some columns.

    The score is the student's, or the clients' mean for methods without a student.

    Args:
        frame: metrics, from `load_runs`.
        by: the columns that tell apart what is compared.

    Raises:
        InvalidOption: `by` is no column, or leaves two runs of one seed on the same line.
    """
    columns = [by] if isinstance(by, str) else list(by)
    for column in columns:
        if column not in frame.columns:
            raise InvalidOption("by", column, f"a column of the frame: {', '.join(map(str, frame.columns))}")
    metric, split = primary_metric(set(frame["metric"])), report_split(set(frame["split"]))
    chosen = frame[(frame["metric"] == metric) & (frame["split"] == split)]
    figure, axes = blank()
    for position, (key, rows) in enumerate(chosen.groupby(columns, sort=True, dropna=False)):
        if rows.groupby("seed")["run"].nunique().max() > 1:
            raise InvalidOption("by", by, "enough columns that each line has one run of each seed")
        curves = pd.DataFrame(
            {run: _curve(of_run, _main_scope(of_run)) for run, of_run in rows.groupby("run")}
        ).dropna()
        line, count = nth_line(position), curves.shape[1]
        mean = curves.mean(axis="columns")
        if count > 1:
            reach = _t_factor(count) * curves.std(axis="columns", ddof=1) / np.sqrt(count)
            axes.fill_between(
                mean.index, mean - reach, mean + reach, color=line.color, alpha=0.18, linewidth=0
            )
        words = ", ".join(str(part) for part in key)
        _plot(
            axes,
            mean.index.to_numpy(),
            mean.to_numpy(),
            line,
            f"{words} ({count} seed{'s' if count > 1 else ''})",
        )
    _label_score(axes, metric, split)
    _label_rounds(axes)
    legend_beside(figure, axes)
    return figure


def _t_factor(count: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, count - 1))


def _main_scope(rows: pd.DataFrame) -> str:
    """Return the scope that a method is judged by: the student, or the clients' mean where no student is trained."""
    return "student" if (rows["scope"] == "student").any() else "clients_mean"


def _curve(rows: pd.DataFrame, scope: str) -> "pd.Series[float]":
    return rows[rows["scope"] == scope].groupby("round")["value"].mean().dropna()


def _plot(axes: Axes, across: np.ndarray, up: np.ndarray, line: Line, label: str) -> None:
    axes.plot(
        across,
        up,
        color=line.color,
        linestyle=line.dash,
        linewidth=line.width,
        marker=line.marker if len(across) <= _FEW else None,
        markersize=4.5,
        label=label,
    )


def _label_score(axes: Axes, metric: str, split: str) -> None:
    axes.set_ylabel(f"{metric_words(metric)} ({split} data)")
    axes.grid(color=FAINT, linewidth=0.6)
    if metric == "r2":
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.set_ylim(bottom=max(axes.get_ylim()[0], _WORST_R2))


def _label_rounds(axes: Axes) -> None:
    axes.set_xlabel("round")
    whole_numbers(axes)


def _unit(largest: float) -> tuple[float, str]:
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= scale:
            return scale, unit
    return 1.0, "bytes"
