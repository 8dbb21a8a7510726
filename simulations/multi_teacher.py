"""Several teachers of unequal worth: which methods lose least by one that is sure and wrong?

Claims: a mean of the teachers suffers from a corrupt one; CA-MKD, AEKD and AMTML-KD find out; several teachers are better than the best of them.

Fashion-MNIST, 1,000 samples that all see. Five teachers: two wide networks, a narrow one that knows five classes only, two linear ones. In one half
of the runs the second wide network was taught the next class in place of the true one; in the other half it is honest. All else in a pair is the same: the other
teachers, the student's initial weights, the order of samples. Each method's options are its recipe's.

Beside them: the best teacher alone (chosen on validation data), labels alone, and three forms whose difference says where accuracy is lost: softening the mean
in place of the teachers (`late softening`), AEKD's weights found once for the fresh student (`weighed once`), triplets on which the teachers' answers vote
(`triplets of answers`).
"""

import pandas as pd
from matplotlib.figure import Figure

import fedkd
from simulations.study import Interval, Study, seeds_from_command_line

CORRUPT, NARROW = 1, 2
"""Who is taught wrong labels, who knows five classes."""
COMMON = [
    "data=fashion_mnist", "data.samples=1000", "data.test_samples=3000", "partition=shared", "proxy=train", "proxy.labelled=true", "clients=5", "rounds=1",
    "model=mixed", "model.shares={wide: 2, narrow: 1, logistic: 2}", "model.rule=blocks",
    "model.models={wide: {name: mlp, hidden: [128, 128]}, narrow: {name: mlp, hidden: [32]}}", "student=mlp", "student.hidden=[16]",
    "partition.classes=[[0,1,2,3,4,5,6,7,8,9],[0,1,2,3,4,5,6,7,8,9],[0,1,2,3,4],[0,1,2,3,4,5,6,7,8,9],[0,1,2,3,4,5,6,7,8,9]]",
    "method.client.fit.epochs=10", "method.distiller.fit.epochs=20", "runtime=inline", "threads=1",
]  # fmt: skip
TEACHERS = {"honest": "partition.noise=0", "one is wrong": f"partition.noise={[float(k == CORRUPT) for k in range(5)]}"}  # fmt: skip
METHODS = {
    "AVER": ["method=aver"],
    "EBKD": ["method=ebkd"],
    "CA-MKD": ["method=ca_mkd"],
    "AEKD": ["method=aekd"],
    "AMTML-KD": ["method=amtml"],
    "voted triplets": ["method=voted_triplets"],
    "similarity": ["method=aver", "method.weighting=similarity"],
}
BEST, LABELS, REFERENCE = "best teacher", "labels alone", "AVER"
BESIDE = {
    BEST: ["method=aver", "method.weighting=simulations.best_teacher:Best"],
    LABELS: ["method=aver", "method.distiller.label_weight=1.0"],
}
FORMS = {
    "late softening": (["method=aver", "method.fusion.temperature=1.0"], "AVER"),
    "weighed once": (["method=aver", "method.weighting=gradient"], "AEKD"),
    "triplets of answers": (["method=aver", "method.fusion=voted_triplets"], "voted triplets"),
}
ACCURACY = "student/test/accuracy"


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("multi_teacher", seeds_from_command_line(__doc__))
    arms = {**METHODS, **BESIDE, **{name: own for name, (own, _) in FORMS.items()}}
    frame = study.run(
        {f"{name}, {who}": [*own, those] for name, own in arms.items() for who, those in TEACHERS.items()},
        common=COMMON,
    )
    runs = {
        (name, who): frame[frame["arm"] == f"{name}, {who}"].set_index("seed").sort_index()
        for name in arms
        for who in TEACHERS
    }
    honest, wrong = ({name: runs[name, who][ACCURACY] for name in arms} for who in TEACHERS)
    weights = {name: [_weights(folder) for folder in runs[name, "one is wrong"]["folder"]] for name in arms}
    rows = [
        [
            name,
            Interval.of(list(honest[name])).percent(),
            Interval.of(list(wrong[name])).percent(),
            Interval.of(list(wrong[name] - honest[name])).points(),
            "" if name == REFERENCE else Interval.of(list(wrong[name] - wrong[REFERENCE])).points(),
            "" if name == LABELS else f"{_mean(weights[name], CORRUPT):.2f}",
            "" if name == LABELS else f"{_mean(weights[name], NARROW):.2f}",
        ]
        for name in sorted(arms, key=lambda name: -float(wrong[name].mean()))
    ]
    study.picture(_picture(honest, wrong, {name: _mean(weights[name], CORRUPT) for name in arms}))
    study.show(
        f"Five teachers, one of whom may be sure and wrong, {len(study.seeds)} paired seeds, test accuracy of the student in % [95 % interval]",
        [
            "method",
            "all honest",
            "one is wrong",
            "change by the wrong one, points",
            f"minus {REFERENCE} with the wrong one, points",
            "weight of the wrong one",
            "weight of the one with five classes",
        ],
        rows,
        _verdict(honest, wrong, runs[REFERENCE, "one is wrong"]),
    )


def _weights(folder: object) -> "pd.Series[float]":
    """Return how much each teacher counted in a run, by client."""
    own = fedkd.load_runs(str(folder)).query("metric == 'weight'")
    return own.set_index(own["client"].astype(int))["value"]


def _mean(weights: list["pd.Series[float]"], client: int) -> float:
    return float(pd.concat([own.loc[[client]] for own in weights]).mean())


Scores = dict[str, "pd.Series[float]"]
"""Accuracies by seed, of each arm."""


def _verdict(honest: Scores, wrong: Scores, runs: pd.DataFrame) -> str:
    def gap(name: str, other: str, scores: Scores = wrong) -> Interval:
        return Interval.of(list(scores[name] - scores[other]))

    ahead = [name for name in METHODS if name != REFERENCE and gap(name, REFERENCE).low > 0]
    behind = [name for name in METHODS if name != REFERENCE and gap(name, REFERENCE).high < 0]
    lost = {name: Interval.of(list(wrong[name] - honest[name])) for name in METHODS}
    least = max(METHODS, key=lambda name: lost[name].mean)
    several = [name for name in METHODS if gap(name, BEST, honest).low > 0]
    none_better = [name for name in METHODS if gap(name, LABELS, honest).low > 0]
    forms = "; ".join(
        f"{name} against {other} {gap(name, other, honest).points()} with honest teachers, {gap(name, other).points()} with the wrong one"
        for name, (_, other) in FORMS.items()
    )
    oracle = runs["ensemble_oracle/test/accuracy"].mean() - runs["ensemble_uniform/test/accuracy"].mean()
    return (
        f"With the wrong teacher, better than {REFERENCE}: {_listed(ahead)}; worse: {_listed(behind)}. The least was lost by {least} "
        f"({lost[least].points()} points), the most by {min(METHODS, key=lambda name: lost[name].mean)}. With honest teachers, better than the best teacher alone: "
        f"{_listed(several)}; better than labels alone: {_listed(none_better)}. An oracle that knew the right teacher on each sample would be {100 * oracle:.1f} points above the mean "
        f"of the teachers' answers. The other forms, in points: {forms}."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _picture(honest: Scores, wrong: Scores, weights: dict[str, float]) -> Figure:
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    order = sorted((name for name in wrong if name not in FORMS), key=lambda name: float(wrong[name].mean()))
    for scores, label, marker, color, up in (
        (honest, "all honest", "o", "C0", 0.15),
        (wrong, "one is wrong", "s", "C3", -0.15),
    ):
        spans = [Interval.of(list(100 * scores[name])) for name in order]
        ends = [[span.mean - span.low for span in spans], [span.high - span.mean for span in spans]]
        left.errorbar(
            [span.mean for span in spans], [place + up for place in range(len(order))], xerr=ends, fmt=marker, color=color, capsize=3, label=label,
        )  # fmt: skip
    for name in (BEST, LABELS):
        left.axvline(100 * float(wrong[name].mean()), color="grey", linewidth=1, linestyle="--")
    left.set_yticks(range(len(order)), order)
    left.set(xlabel="test accuracy of the student, % (dashed: best teacher, labels alone)")
    left.legend()
    shown = [place for place, name in enumerate(order) if name != LABELS]
    right.barh(shown, [weights[order[place]] for place in shown], color="C3", height=0.5)
    right.axvline(0.2, color="grey", linewidth=1)
    right.set(xlabel="weight of the wrong one")
    for axes in (left, right):
        axes.grid(visible=True, axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
