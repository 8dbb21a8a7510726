"""Adaptation with published teachers: networks for the digits of MNIST, USPS and SVHN teach a student that serves unlabelled digits of another origin.

Ruder et al., "Knowledge Adaptation: Teaching to Adapt" (2017): teachers that suit the target should count more, and a student of several sources should be
better than one source alone. The target are scikit-learn's digits, 8 x 8 pixels, of which the student sees 400 without labels; seeds paired. Nobody has the data
that the networks learned from, so weights come from their answers alone: how sure they are (`entropy`), how far their scores are apart (`variance`).

Controls: teachers that count alike, each teacher alone, and the student on the labels of the same samples. Nothing is chosen, and no label of the target is
looked at before the test.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from simulations.study import Interval, Sheet, Study, bars, by_client, seeds_from_command_line

TEACHERS = ("mnist", "usps", "svhn")
"""The teachers in the order of the clients, by the digits that each was trained on."""
COMMON = [
    "method=pretrained", "data=digits", "data.samples=400", "method.distiller.fit.epochs=25", "runtime=inline", "threads=1",
]  # fmt: skip
UNLABELLED = ["proxy.labelled=false", "method.distiller.label_weight=0"]
WEIGHTINGS = {name: [f"method.weighting={name}", *UNLABELLED] for name in ("uniform", "entropy", "variance")}
LABELS = ["method.distiller.label_weight=1"]
REFERENCE = "uniform"
REPORT = "student/test/accuracy"


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("adaptation_published", seeds_from_command_line(__doc__))
    frame = study.run({**WEIGHTINGS, "labels": LABELS}, common=COMMON)
    runs = {arm: own.set_index("seed").sort_index() for arm, own in frame.groupby("arm")}
    quality = by_client(runs[REFERENCE], "accuracy", "test", names=TEACHERS)
    scores = {f"teacher of {name}": quality[name] for name in TEACHERS}
    scores |= {f"student, {arm}": runs[arm][REPORT] for arm in (*WEIGHTINGS, "labels")}
    base = scores[f"student, {REFERENCE}"]
    gains = {who: Interval.of(list(own - base)) for who, own in scores.items()}
    study.picture(picture({who: Interval.of(list(own)) for who, own in scores.items()}))
    said = [f"{arm} {gains[f'student, {arm}'].points()}" for arm in WEIGHTINGS if arm != REFERENCE]
    best = str(quality.mean().idxmax())
    alone = Interval.of(list(base - quality[best]))
    study.show(
        f"Published teachers on digits of another origin, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["who", "accuracy", f"minus the student of {REFERENCE} weights, points"],
        [
            [who, Interval.of(list(own)).percent(), "" if own is base else gains[who].points()]
            for who, own in scores.items()
        ],
        f"Against uniform weights, points: {'; '.join(said)}. The student of uniform weights is {alone.points()} points from the best teacher, {best}.",
        further=[
            Sheet(
                "Do the weights rank the nearest source first? The nearest is the one whose network is best on the target's test data",
                [
                    "weighting",
                    *(f"weight of {name}" for name in TEACHERS),
                    "nearest first",
                    "rank correlation",
                ],
                [
                    ranking(arm, by_client(runs[arm], "weight", "proxy", names=TEACHERS), quality)
                    for arm in WEIGHTINGS
                    if arm != REFERENCE
                ],
            )
        ],
    )


def ranking(arm: str, weights: pd.DataFrame, quality: pd.DataFrame) -> list[str]:
    """Return a row: mean weights, in how many seeds the best teacher counts most, and how well both orders agree."""
    nearest = int((weights.idxmax(axis=1) == quality.idxmax(axis=1)).sum())
    agreement = [stats.spearmanr(weights.loc[seed], quality.loc[seed]).statistic for seed in weights.index]
    return [
        arm,
        *(f"{weights[name].mean():.2f}" for name in TEACHERS),
        f"{nearest} of {len(weights)} seeds",
        f"{np.mean(agreement):+.2f}",
    ]


def picture(scores: dict[str, Interval]) -> Figure:
    """Draw accuracies on the target."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    bars(axes, scores, ["C0" if who.startswith("student") else "grey" for who in scores])
    axes.set_xlabel("test accuracy on the target, %")
    return figure


if __name__ == "__main__":
    main()
