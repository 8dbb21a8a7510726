"""Fusions and weightings, all of them, with honest teachers and with two of ten that lie.

Claims: a robust fusion keeps its accuracy when clients lie, the mean of logits does not; weightings that know labels or scores take the liars' weight
away (CA-MKD), one that minimises the norm of gradients does not (AEKD). A noisy vote has its price in accuracy; what it buys is printed as epsilon.

One round on Fashion-MNIST, Dirichlet 1: ten clients train, answer 500 public samples with logits, and a student learns what is made of their answers. With
one seed the honest teachers are the same in every arm, so that arms differ by the fusion or the weighting alone. Liars are those of `liars.py`: they learned the
next class in place of the true one, and are loud. Fusions are run with the uniform weighting, weightings with the mean of logits; every option is at its default.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.study import Interval, Study, seeds_from_command_line

COMMON = [
    "method=dsfl", "data=fashion_mnist", "data.samples=4000", "data.validation=0.03", "data.test_samples=2000", "proxy.size=500", "model=mlp", "clients=10",
    "rounds=1", "runtime=inline", "threads=1", "partition=simulations.liars:Liars", "partition.alpha=1.0", "partition.loudness=10.0",
    "method.knowledge=logits", "method.client.fit.epochs=3", "method.distiller.fit.epochs=10",
]  # fmt: skip
LIARS = {"honest": "partition.liars=0", "two lie": "partition.liars=2"}
MEAN = "mean_logits"
ROBUST = ("cronus", "geometric_median", "median", "quantile_filter", "trimmed_mean")
FUSIONS = (
    MEAN, "mean_log_probabilities", "mean_probabilities", "era", "power", "majority_vote", "noisy_vote", "voted_triplets", *ROBUST
)  # fmt: skip
WEIGHTINGS = {
    "size": "size",
    "similarity": "similarity",
    "domain_classifier": "domain_classifier",
    "variance": "variance",
    "entropy": "entropy",
    "gradient": "gradient",
    "class_counts": "class_counts",
    "confidence": "confidence",
    "accuracy": "{name:accuracy,on:proxy}",
    "drop_worst": "{name:drop_worst,on:proxy}",
}
BOUNDED = "mean_probabilities"
ACCURACY = "student/test/accuracy"
EPSILON = "round/train/epsilon"

Scores = Mapping[str, pd.Series]
"""Accuracies of each part, by seed."""


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("fusions", seeds_from_command_line(__doc__))
    parts = {("fusion", name): f"method.fusion={name}" for name in FUSIONS}
    parts |= {("weighting", name): f"method.weighting={spec}" for name, spec in WEIGHTINGS.items()}
    frame = study.run(
        {
            f"{name}, {who}": [own, lying, *(["method.fusion=mean_logits"] if family == "weighting" else [])]
            for (family, name), own in parts.items()
            for who, lying in LIARS.items()
        },
        common=COMMON,
    )
    scores = {
        (name, who): frame[frame["arm"] == f"{name}, {who}"].set_index("seed").sort_index()[ACCURACY]
        for _, name in parts
        for who in LIARS
    }
    honest, lied = ({name: scores[name, who] for _, name in parts} for who in LIARS)
    rows = []
    for family, name in parts:
        with_and_without = [
            [Interval.of(list(scores[name])).percent(), _minus(scores, name)] for scores in (honest, lied)
        ]
        lost = Interval.of(list(lied[name] - honest[name]))
        rows.append([family, name, *with_and_without[0], *with_and_without[1], lost.points()])
    epsilon = frame[frame["arm"] == "noisy_vote, honest"][EPSILON].mean()
    study.picture(_picture(honest, lied))
    study.show(
        f"What fusions and weightings make of ten teachers of whom two lie, {len(study.seeds)} paired seeds, "
        "test accuracy of the student in % [95 % interval]",
        [
            "",
            "name",
            "honest",
            "honest: minus the mean, points",
            "two lie",
            "two lie: minus the mean, points",
            "change by the liars, points",
        ],
        rows,
        _verdict(honest, lied, epsilon),
    )


def _minus(scores: Scores, name: str) -> str:
    return "" if name == MEAN else Interval.of(list(scores[name] - scores[MEAN])).points()


def _verdict(honest: Scores, lied: Scores, epsilon: float) -> str:
    def beyond(name: str, other: str) -> Interval:
        return Interval.of(list(lied[name] - lied[other]))

    lost = {name: Interval.of(list(lied[name] - honest[name])) for name in lied}
    ahead = [name for name in (*FUSIONS, *WEIGHTINGS) if beyond(name, MEAN).low > 0]
    behind = [name for name in (*FUSIONS, *WEIGHTINGS) if beyond(name, MEAN).high < 0]
    robust = [name for name in ROBUST if name in ahead]
    kept = [name for name in ahead if lost[name].high >= 0]
    least = max(ROBUST, key=lambda name: lost[name].mean)
    better = [name for name in ROBUST if beyond(name, BOUNDED).low > 0]
    return (
        f"What two liars change, in points: the mean of logits {lost[MEAN].points()}. Of the {len(ROBUST)} robust fusions {len(robust)} did better than it with liars, and none "
        f"lost less than `{least}`: {lost[least].points()}. The plain mean of probabilities, in which nobody is louder than 1: "
        f"{lost[BOUNDED].points()}, and of the robust fusions these did better than it with liars: {_names(better)}. "
        f"Weightings that did better than equal weights with liars: {_names(name for name in ahead if name in WEIGHTINGS)}. Where no loss was seen: "
        f"{_names(kept)}; some loss is fair, since the two are no teachers any more. CA-MKD (`confidence`) is claimed to see liars by the labels: "
        f"{lost['confidence'].points()}; its softmax over the teachers blames mostly the worst one, behind which the second can hide. AEKD (`gradient`) is claimed to be no "
        f"protection: {lost['gradient'].points()}. Worse than the mean of logits with liars: {_names(behind)}. The noise of the noisy vote "
        "changed the accuracy of honest teachers' students by "
        f"{Interval.of(list(honest['noisy_vote'] - honest['majority_vote'])).points()} points, and its one round spent epsilon = {epsilon:,.0f} at "
        "delta = 1e-5, which protects nobody: ten teachers are too few."
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _picture(honest: Scores, lied: Scores) -> Figure:
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    for axes, title, names in (
        (left, "fusions", FUSIONS),
        (right, "weightings, mean of logits", (MEAN, *WEIGHTINGS)),
    ):
        _panel(axes, names, honest, lied)
        axes.set(title=title, xlabel="accuracy of the student, %")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _panel(axes: Axes, names: Sequence[str], honest: Scores, lied: Scores) -> None:
    """Draw two means for each part, with their intervals over seeds; the part whose student is best with liars is on top."""
    names = sorted(names, key=lambda name: float(lied[name].mean()))
    for scores, label, marker, color, up in (
        (honest, "honest", "o", "C0", 0.15),
        (lied, "two of ten lie", "s", "C3", -0.15),
    ):
        spans = [Interval.of(list(scores[name])) for name in names]
        means = [100 * span.mean for span in spans]
        ends = [
            [100 * (span.mean - span.low) for span in spans],
            [100 * (span.high - span.mean) for span in spans],
        ]
        places = [place + up for place in range(len(names))]
        axes.errorbar(means, places, xerr=ends, fmt=marker, color=color, capsize=2, markersize=5, label=label)
    axes.set_yticks(
        range(len(names)), ["uniform" if name == MEAN and "gradient" in names else name for name in names]
    )
    axes.grid(visible=True, axis="x", alpha=0.3)


if __name__ == "__main__":
    main()
