"""Pictures of how things spread: scores over clients, data over clients, and a score over the steps of distillation.

>>> clients_spread(load_runs("runs/demo")).savefig("clients_spread.png")
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedkd.reporting.canvas import BLUE, FAINT, GREEN, GREY, INK, ORANGE, RED, SKY, blank
from fedkd.reporting.measures import (
    BASELINES,
    SCOPES,
    metric_words,
    primary_metric,
    report_split,
    scope_words,
)

_BUBBLES = 50
"""With more clients than this, bubbles are too small to read, and a heat map takes their place."""

_COLUMNS = 2000
"""Most columns of the heat map."""


def clients_spread(frame: pd.DataFrame) -> Figure:
    """Draw how the scores of the clients spread after the last round: each on its own data, and each on the common test data.

    A dot is a client; the box spans the middle half of them, the line in it is the median.

    Args:
        frame: metrics, from `load_runs`.
    """
    metric, split = primary_metric(set(frame["metric"])), report_split(set(frame["split"]))
    chosen = frame[frame["metric"] == metric].dropna(subset="value")
    clients = _last(chosen[chosen["scope"] == "client"])
    figure, axes = blank(6.4, 4.2)
    places = [
        (name, words)
        for name, words in (("own", "own data"), (split, f"common {split} data"))
        if (clients["split"] == name).any()
    ]
    for position, (name, _) in enumerate(places):
        scores = np.sort(clients.loc[clients["split"] == name, "value"].to_numpy())
        jitter = 0.24 * np.cos(2.4 * np.arange(len(scores)))  # spread sideways without a random number
        axes.scatter(position + jitter, scores, s=18, color=BLUE, alpha=0.45, linewidths=0)
        axes.boxplot(
            scores,
            positions=[position],
            widths=0.62,
            showfliers=False,
            medianprops={"color": RED, "linewidth": 2},
            boxprops={"color": INK},
            whiskerprops={"color": INK},
            capprops={"color": INK},
        )
    student = _last(chosen[(chosen["scope"] == "student") & (chosen["split"] == split)])
    if len(student):
        score = student["value"].mean()
        axes.axhline(score, color=RED, linestyle="--", linewidth=1.4)
        axes.annotate(
            f"student, {split} data",
            (1, score),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=RED,
        )
    count = clients["client"].nunique()
    axes.set_xticks(range(len(places)), [words for _, words in places])
    axes.set_xlim(-0.6, max(len(places), 1) - 0.4)
    axes.set_xlabel(f"{count} clients after the last round")
    axes.set_ylabel(metric_words(metric))
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    return figure


def partition_picture(manifest: Mapping[str, Any]) -> Figure:
    """Draw who has which data: clients by classes, for regression the size and the mean target of each client, else their sizes.

    Args:
        manifest: the partition's, as in `partition.json`.
    """
    if "target_means" in manifest:
        return _sizes_and_targets(
            np.asarray(manifest["sizes"]), np.asarray(manifest["target_means"], dtype=float)
        )
    if "counts" in manifest:
        counts = np.asarray(manifest["counts"], dtype=float).T  # class x client
        names = [str(name) for name in manifest.get("class_names", range(counts.shape[0]))]
    else:
        counts, names = np.asarray([manifest["sizes"]], dtype=float), ["samples"]
    clients = counts.shape[1]
    figure, axes = blank(min(3 + 0.2 * clients, 9) if clients <= _BUBBLES else 9, 1.6 + 0.28 * len(names))
    if clients <= _BUBBLES:
        classes, who = np.nonzero(counts)
        area = 150 * counts[classes, who] / counts.max() if counts.any() else []
        axes.scatter(who, classes, s=area, color=BLUE, alpha=0.75, linewidths=0)
        axes.set_xticks(
            range(clients),
            [str(client) if clients <= 20 or client % 5 == 0 else "" for client in range(clients)],
        )
        axes.set_xlim(-0.8, clients - 0.2)
        axes.grid(color=FAINT, linewidth=0.6)
        axes.set_xlabel(f"client (largest dot: {counts.max():.0f} samples)")
    else:
        # Of more clients than there are pixels every so many-th is shown, as the nearest to a pixel would be.
        shown = counts[:, :: -(-clients // _COLUMNS)]
        image = axes.imshow(
            shown,
            aspect="auto",
            cmap="cividis",
            interpolation="nearest",
            vmin=0,
            vmax=counts.max(),
            extent=(-0.5, clients - 0.5, len(names) - 0.5, -0.5),
        )
        figure.colorbar(image, ax=axes, label="samples", fraction=0.04, pad=0.02)
        axes.set_xlabel("client")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_ylabel("class")
    return figure


def decomposition(frame: pd.DataFrame) -> Figure:
    """Draw where quality is won and lost: teachers alone, their ensembles, the student, and the baselines below them.

    From the teachers' mean to the ensemble is what fusing gives; from the ensemble to the oracle is what a better fusion
    could give; from the ensemble to the student is what distillation loses. Scores are those of the last round; where
    the frame has several runs, each is a dot and the bar is their mean.

    Args:
        frame: metrics, from `load_runs`.
    """
    metric, split = primary_metric(set(frame["metric"])), report_split(set(frame["split"]))
    chosen = frame[(frame["metric"] == metric) & (frame["split"] == split)].dropna(subset="value")
    steps = {
        "clients_mean": GREY,
        "ensemble_uniform": SKY,
        "ensemble_weighted": BLUE,
        "ensemble_oracle": GREEN,
        "student": RED,
        **dict.fromkeys((scope for scope in SCOPES if scope in BASELINES), ORANGE),
    }
    present = [scope for scope in steps if (chosen["scope"] == scope).any()]
    figure, axes = blank(7.2, 1.2 + 0.36 * len(present))
    for position, scope in enumerate(present):
        scores = _last(chosen[chosen["scope"] == scope])["value"].to_numpy()
        _bar(axes, position, scores, steps[scope])
    axes.set_yticks(range(len(present)), [scope_words(scope) for scope in present])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(f"{metric_words(metric)} ({split} data) after the last round")
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    return figure


def _bar(axes: Axes, position: int, scores: "np.ndarray[Any, Any]", color: str) -> None:
    mean = float(scores.mean())
    axes.barh(position, mean, height=0.62, color=color, alpha=0.85)
    if len(scores) > 1:
        axes.scatter(scores, np.full(len(scores), position), s=12, color=INK, zorder=3)
    end = max(float(scores.max()), 0.0)
    axes.annotate(
        f"{mean:.3f}", (end, position), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9
    )


def _sizes_and_targets(sizes: "np.ndarray[Any, Any]", means: "np.ndarray[Any, Any]") -> Figure:
    figure, axes = blank(6.4, 4.2)
    axes.scatter(sizes, means, s=26, color=BLUE, alpha=0.6, linewidths=0)
    if len(sizes) <= _BUBBLES:
        for client, place in enumerate(zip(sizes, means, strict=True)):
            axes.annotate(
                str(client), place, xytext=(4, 3), textcoords="offset points", fontsize=7, color=GREY
            )
    axes.set_xlabel("samples of a client")
    axes.set_ylabel("mean target of a client")
    axes.set_xlim(left=0)
    axes.grid(color=FAINT, linewidth=0.6)
    return figure


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last round of each run."""
    return rows[rows["round"] == rows.groupby("run")["round"].transform("max")]
