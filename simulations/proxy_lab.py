"""Proxy sets: what their size, coverage of classes, distance from the task and wrong labels cost, and whether it could have been known.

Survey, open problem 2: few works measure how much could be transferred before learning. Ten clients (Fashion-MNIST, Dirichlet 0.3) are
trained once for each seed; their average then learns from their ensemble on one proxy set after the other, for the same number of
steps. The gain is the student's test accuracy minus that of the average it started from. Scores see the proxy set and the
teachers' answers, never the student or test data, and labels only where the method learns them too.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import stats

from fedkd.data.datasets.fashion_mnist import FashionMnist
from fedkd.data.partitions.dirichlet import Dirichlet
from fedkd.data.proxies.base import Proxy
from fedkd.data.proxies.dataset import OtherDataSet
from fedkd.data.proxies.heldout import Heldout
from fedkd.data.proxies.noise import Noise
from fedkd.distillation import Distiller
from fedkd.foundation.seeding import Streams
from fedkd.models.base import predict
from fedkd.models.mlp import MLP
from fedkd.training import Fit, Optimizer
from simulations.study import Interval, Study, seeds_from_command_line
from simulations.teachers import TASK, Teachers, scores

RESERVE, STEPS = 4000, 500
PLAIN: Mapping[str, Proxy] = {
    **{f"size {size}": Heldout(size=size) for size in (30, 100, 300, 1000, 3000)},
    **{f"{classes} of 10 classes": Heldout(size=300, classes=classes) for classes in (1, 2, 4, 7)},
    "MNIST": OtherDataSet(dataset="mnist_10k", size=1000),
    "digits": OtherDataSet(dataset="digits", size=1000),
    "noise": Noise(size=1000),
}
LABELLED: Mapping[str, Proxy] = {
    f"{100 * noise:.0f} % wrong": Heldout(size=300, label_noise=noise) for noise in (0.0, 0.1, 0.3, 0.6)
}
USUAL = "size 300"
"""The proxy set that all others are held against: of the task, all classes, no labels."""
AGREE = "agreement with labels"
"""Share of the samples on which the ensemble names the label: a score for labelled sets."""
GROUPS = {
    "size": [name for name in PLAIN if name.startswith("size")],
    "classes": [*(name for name in PLAIN if "of 10" in name), "size 300"],
    "shift": ["size 1000", "MNIST", "digits", "noise"],
}
SCORES = ("size (log)", "confidence", "negative entropy", "agreement", "teachers' confidence", "coverage", "information", "likeness")  # fmt: skip
LINE = ("size (log)", "coverage", "likeness")
"""What the linear predictor sees: how much there is, of how many classes, how near to the task."""


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("proxy_lab", seeds_from_command_line(__doc__))
    frame = pd.DataFrame([row for seed in study.seeds for row in _tried(study.folder, seed)])
    plain = frame[frame["proxy"].isin(PLAIN)]
    how = {score: _ranking(plain, score) for score in SCORES}
    foretold = _leave_one_out(plain)
    line = _ranking(foretold, "foretold")
    labels = _ranking(frame[frame["proxy"].isin(LABELLED)], AGREE)
    study.picture(_picture(plain, foretold))
    rows = [_row(frame, name) for name in (*PLAIN, *LABELLED)]
    rows.append(
        ["rank correlation with the gain", "", "", "", *(_signed(rank) for rank in [*how.values(), labels])]
    )
    study.show(
        f"What a proxy set is worth, {len(study.seeds)} seeds, test accuracy in % or points [95 % interval]; scores before distilling",
        ["proxy set", "student", "gain, points", f"minus {USUAL}, points", *SCORES, AGREE],
        rows,
        _verdict(how, line, _missed(foretold), frame),
    )


def _tried(folder: Path, seed: int) -> list[dict[str, float | str | int]]:
    """Return a row for each proxy set; what an earlier call has measured is read."""
    path = folder / f"{seed}.json"
    if path.exists():
        rows: list[dict[str, float | str | int]] = json.loads(path.read_text(encoding="utf-8"))
        return rows
    torch.set_num_threads(1)
    teachers = Teachers.trained(
        FashionMnist(samples=8000, test_samples=4000),
        Dirichlet(alpha=0.3),
        MLP(),
        Fit(epochs=10, optimizer=Optimizer(lr=0.05, momentum=0.9, clip_norm=5.0)),
        clients=10,
        reserve=RESERVE,
        seed=seed,
    )
    rows = [
        {"seed": seed, "proxy": name, **_taught(teachers, proxy, seed, 0.5 if name in LABELLED else 0.0)}
        for name, proxy in {**PLAIN, **LABELLED}.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".part")
    begun.write_text(json.dumps(rows), encoding="utf-8")
    begun.replace(path)
    return rows


def _taught(teachers: Teachers, proxy: Proxy, seed: int, label_weight: float) -> dict[str, float]:
    """Score a proxy set, then let the average learn from it."""
    data, streams = teachers.data, Streams(seed)
    assert data.proxy is not None
    drawn = proxy.draw(data.info, data.proxy, streams).samples
    assert drawn is not None
    said = teachers.say(drawn.inputs)
    student = copy.deepcopy(teachers.average)
    passes = -(-STEPS // -(-len(drawn) // 32))
    Distiller(
        fit=Fit(epochs=passes, batch_size=32, max_steps=STEPS, optimizer=Optimizer(name="adam", lr=0.001)),
        label_weight=label_weight,
    ).distil(
        student,
        drawn.inputs,
        said.mean(dim=0),
        task=TASK,
        generator=streams.torch("distil"),
        targets=drawn.targets,
    )
    test = data.test

    def accuracy(outputs: torch.Tensor) -> float:
        return float((outputs.argmax(dim=-1) == test.targets).double().mean())

    on_test = teachers.say(test.inputs)
    before, after = (accuracy(predict(network, test.inputs)) for network in (teachers.average, student))
    agree = float((said.mean(dim=0).argmax(dim=-1) == drawn.targets).double().mean())
    return {
        **scores(teachers, drawn, said),
        AGREE: agree,
        "teachers": float(np.mean([accuracy(own) for own in on_test])),
        "ensemble": accuracy(on_test.mean(dim=0)),
        "average": before,
        "student": after,
        "gain": after - before,
    }


def _ranking(frame: pd.DataFrame, column: str) -> Interval:
    """Return Spearman's rank correlation over the proxy sets, with its interval over the seeds, which ends at -1 and 1."""
    rank = Interval.of(
        [float(stats.spearmanr(own[column], own["gain"]).statistic) for _, own in frame.groupby("seed")]
    )
    return Interval(rank.mean, max(rank.low, -1.0), min(rank.high, 1.0))


def _leave_one_out(frame: pd.DataFrame) -> pd.DataFrame:
    """Foretell the gain on each proxy set from a line that was fitted to the others, all seeds together."""
    foretold = frame.copy()
    foretold["foretold"] = 0.0
    foretold["nothing known"] = 0.0
    for name in frame["proxy"].unique():
        out = frame["proxy"] == name
        known, asked = (
            np.column_stack([part[list(LINE)], np.ones(len(part))]) for part in (frame[~out], frame[out])
        )
        line = np.linalg.lstsq(known, frame.loc[~out, "gain"].to_numpy(), rcond=None)[0]
        foretold.loc[out, "foretold"] = asked @ line
        foretold.loc[out, "nothing known"] = frame.loc[~out, "gain"].mean()
    return foretold


def _missed(foretold: pd.DataFrame) -> dict[str, Interval]:
    """Return by how much the prediction misses the gain, and by how much the mean of the other sets does."""
    return {
        column: Interval.of(
            [float((own[column] - own["gain"]).abs().mean()) for _, own in foretold.groupby("seed")]
        )
        for column in ("foretold", "nothing known")
    }


def _row(frame: pd.DataFrame, name: str) -> list[str]:
    own = frame[frame["proxy"] == name]
    shown = (AGREE,) if name in LABELLED else SCORES
    return [
        f"size 300, half of the loss on labels, {name}" if name in LABELLED else name,
        Interval.of(list(own["student"])).percent(),
        Interval.of(list(own["gain"])).points(),
        _against_usual(frame, name).points() if name != USUAL else "",
        *(f"{own[score].mean():.2f}" if score in shown else "" for score in (*SCORES, AGREE)),
    ]


def _against_usual(frame: pd.DataFrame, name: str) -> Interval:
    """Return by how much a student is better than that of a usual proxy set, seed by seed."""
    students = frame.pivot_table(index="seed", columns="proxy", values="student")
    return Interval.of(list(students[name] - students[USUAL]))


def _signed(rank: Interval) -> str:
    return f"{rank.mean:+.2f} [{rank.low:+.2f}, {rank.high:+.2f}]"


def _verdict(
    how: Mapping[str, Interval], line: Interval, missed: Mapping[str, Interval], frame: pd.DataFrame
) -> str:
    best = max((score for score in SCORES), key=lambda score: how[score].mean)
    told = [score for score in SCORES if how[score].low > 0]
    against = [score for score in SCORES if how[score].high < 0]
    clean, worst = (
        _against_usual(frame, name).points() for name in (next(iter(LABELLED)), list(LABELLED)[-1])
    )
    once = frame.drop_duplicates("seed")
    who = ", ".join(
        f"{name} {Interval.of(list(once[name])).percent()}" for name in ("teachers", "average", "ensemble")
    )
    held = [
        f"{group}: "
        + ", ".join(f"{name} {_against_usual(frame, name).points()}" for name in names if name != USUAL)
        for group, names in GROUPS.items()
    ]
    return (
        f"Before distilling, %: {who}. Students against that of `{USUAL}`, seed by seed. {'; '.join(held)}. "
        f"Of single scores that are known before distilling, `{best}` ranks the proxy sets best ({how[best].mean:+.2f}); "
        f"a positive rank correlation is certain for {_listed(told)}, a negative one for {_listed(against)}. A line through size, "
        f"coverage and likeness, fitted without the set that it is asked about, ranks them with {_signed(line)} and misses the gain by {100 * missed['foretold'].mean:.1f} points on "
        f"average, the mean of the other sets by {100 * missed['nothing known'].mean:.1f}. Right labels beside the ensemble: {clean} points over "
        f"none; with 60 % wrong: {worst}."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _picture(plain: pd.DataFrame, foretold: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    order = list(PLAIN)
    for place, name in enumerate(order):
        gain = Interval.of(list(100 * plain.loc[plain["proxy"] == name, "gain"]))
        group = next(number for number, names in enumerate(GROUPS.values()) if name in names)
        ends = [[gain.mean - gain.low], [gain.high - gain.mean]]
        left.errorbar([gain.mean], [place], xerr=ends, fmt="o", capsize=3, color=f"C{group}")
    left.set_yticks(range(len(order)), order)
    left.invert_yaxis()
    left.axvline(0.0, color="grey", linewidth=1)
    left.set(xlabel="student minus the average it started from, points", title="what a proxy set gives")
    for number, name in enumerate(order):
        own = foretold[foretold["proxy"] == name]
        marker, colour = "os^Dv<>PX*hp"[number % 12], f"C{number % 10}"
        right.plot(100 * own["foretold"], 100 * own["gain"], marker, color=colour, label=name, markersize=5)
    ends = [100 * plain["gain"].min(), 100 * plain["gain"].max()]
    right.plot(ends, ends, color="grey", linewidth=1)
    right.set(xlabel="foretold from size, coverage and likeness, points", ylabel="gain, points", title="a set that the line never saw")  # fmt: skip
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


if __name__ == "__main__":
    main()
