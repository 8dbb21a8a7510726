"""Three pretrained teachers of mixed quality: which methods find out who is good, and does it help?

Claims: weighing teachers beats their mean where they are of unequal quality (EBKD, CA-MKD, AEKD, AMTML-KD); weights follow quality.

Published networks for the digits of MNIST, USPS and SVHN (`model=ccexam`) teach as they are. The public set, 500 digits of MNIST with labels, is the same for all
methods of a seed, as are the student's initial weights and the order of samples. Each method's options are its recipe's.

The same public set without labels shows who finds out by the answers alone (CA-MKD and AMTML-KD cannot do without).

Beside them: a teacher alone that is chosen on validation data, weights by accuracy there, labels alone. The clients hold the public set, not the data that their
networks learned from, so `similarity` has nothing to see here: it is the control of what a weighting does that knows nothing.

Limit: mnist_10k is part of MNIST's training set, from which the first teacher learned: it has seen the digits on which it is judged here.
"""

import pandas as pd
from matplotlib.figure import Figure

from simulations.multi_teacher import BESIDE as OTHERS
from simulations.multi_teacher import BEST, LABELS, METHODS, REFERENCE
from simulations.study import Interval, Sheet, Study, by_client, seeds_from_command_line

TEACHERS = ("mnist", "usps", "svhn")
"""The teachers in the order of the clients, by the digits that each was trained on."""
COMMON = [
    "data=mnist_10k", "data.samples=500", "partition=shared", "partition.noise=0", "proxy=train", f"clients={len(TEACHERS)}", "rounds=1", "model=ccexam",
    f"method.strategy.checkpoints=[{','.join(f'ccexam/{name}' for name in TEACHERS)}]", "method.client.fit.epochs=0", "student=mlp", "student.hidden=[32]",
    "runtime=inline", "threads=1",
]  # fmt: skip
BESIDE = {**OTHERS, "validation accuracy": ["method=aver", "method.weighting=accuracy"]}
UNLABELLED = ["proxy.labelled=false", "method.distiller.label_weight=0.0"]
WITHOUT = {
    "AVER": ["method=aver", *UNLABELLED],
    "EBKD": ["method=ebkd", *UNLABELLED],
    "AEKD": ["method=aekd", *UNLABELLED, "method.distiller.terms=[{name: aekd, temperature: 4.0}]"],
}
"""Methods that can do without the labels of the public set."""
ACCURACY = "student/test/accuracy"

Scores = dict[str, "pd.Series[float]"]
"""Accuracies of students by seed, of each arm."""
Weights = dict[str, pd.DataFrame]
"""Weight of each teacher (columns) by seed (rows), of each arm."""


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("pretrained_teachers", seeds_from_command_line(__doc__))
    arms = {**METHODS, **BESIDE}
    frame = study.run({**arms, **{f"{name}, no labels": own for name, own in WITHOUT.items()}}, common=COMMON)
    runs = {name: own.set_index("seed").sort_index() for name, own in frame.groupby("arm")}
    scores = {name: own[ACCURACY] for name, own in runs.items()}
    weights = {
        name: by_client(own, "weight", "proxy", names=TEACHERS)
        for name, own in runs.items()
        if name != LABELS
    }
    quality = by_client(runs[REFERENCE], "accuracy", "test", names=TEACHERS)
    columns = ["student", f"minus {REFERENCE}, points", *(f"weight of {name}" for name in TEACHERS), "weights in the order of accuracy"]  # fmt: skip

    def row(name: str, reference: str) -> list[str]:
        return [
            name,
            Interval.of(list(scores[name])).percent(),
            "" if name == reference else Interval.of(list(scores[name] - scores[reference])).points(),
            *(_means(weights[name]) if name != LABELS else [""] * 3),
            _ranked(weights[name], quality) if name not in {LABELS, BEST} else "",
        ]

    order = sorted(scores, key=lambda name: -float(scores[name].mean()))
    study.picture(_picture(scores, weights, quality))
    study.show(
        f"A student of three pretrained teachers, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["method", *columns],
        [row(name, REFERENCE) for name in order if name in arms],
        _verdict(scores, weights, quality),
        further=[
            Sheet(
                "The same public set without its labels",
                ["method", *columns],
                [row(name, f"{REFERENCE}, no labels") for name in order if name not in arms],
            ),
            Sheet(
                "The teachers on the same test data",
                ["teacher", "accuracy, %", "loss"],
                _teachers(runs[REFERENCE], quality),
            ),
        ],
    )


def _teachers(runs: pd.DataFrame, quality: pd.DataFrame) -> list[list[str]]:
    loss = by_client(runs, "loss", "test", names=TEACHERS)
    together = {
        "mean of their answers": "ensemble_uniform",
        "the right one on each sample (oracle)": "ensemble_oracle",
    }
    accuracies = {name: quality[name] for name in TEACHERS}
    accuracies |= {words: runs[f"{scope}/test/accuracy"] for words, scope in together.items()}
    losses = {name: loss[name] for name in TEACHERS}
    losses |= {words: runs[f"{scope}/test/loss"] for words, scope in together.items()}
    return [
        [name, Interval.of(list(own)).percent(), f"{losses[name].mean():.2f}"]
        for name, own in accuracies.items()
    ]


def _means(weights: pd.DataFrame) -> list[str]:
    return [f"{weights[name].mean():.2f}" for name in TEACHERS]


def _agreeing(weights: pd.DataFrame, quality: pd.DataFrame) -> int:
    """Return in how many seeds the weights put the teachers in the order of their accuracy."""
    return sum(
        len(set(weights.loc[seed])) == len(TEACHERS)
        and list(weights.loc[seed].sort_values().index) == list(quality.loc[seed].sort_values().index)
        for seed in weights.index
    )


def _ranked(weights: pd.DataFrame, quality: pd.DataFrame) -> str:
    if float(weights.std(axis=1).max()) < 0.001:
        return "equal weights"
    return f"{_agreeing(weights, quality)} of {len(weights)} seeds"


def _verdict(scores: Scores, weights: Weights, quality: pd.DataFrame) -> str:
    def gap(name: str, other: str) -> Interval:
        return Interval.of(list(scores[name] - scores[other]))

    ahead = [name for name in METHODS if name != REFERENCE and gap(name, REFERENCE).low > 0]
    behind = [name for name in METHODS if name != REFERENCE and gap(name, REFERENCE).high < 0]
    ranks = [
        f"{name} ({_ranked(weights[name], quality)})"
        for name in METHODS
        if 2 * _agreeing(weights[name], quality) > len(quality)
    ]
    first = [
        name
        for name in METHODS
        if (weights[name].idxmax(axis=1) == quality.idxmax(axis=1)).all()
        and weights[name].std(axis=1).min() > 0.001
    ]
    labels = "; ".join(f"{name} {gap(name, f'{name}, no labels').points()}" for name in WITHOUT)
    return (
        f"Better than {REFERENCE}: {_listed(ahead)}; worse: {_listed(behind)}. Better than the best teacher alone: "
        f"{_listed([name for name in METHODS if gap(name, BEST).low > 0])}; worse: {_listed([name for name in METHODS if gap(name, BEST).high < 0])}. "
        f"Better than labels alone: {_listed([name for name in METHODS if gap(name, LABELS).low > 0])}; worse: "
        f"{_listed([name for name in METHODS if gap(name, LABELS).high < 0])}. The best teacher alone against labels alone: {gap(BEST, LABELS).points()} points. "
        f"Most weight to the best teacher in every seed: {_listed(first)}; all three in the order of their accuracy in most seeds: {_listed(ranks)}. "
        f"What the labels are worth, in points: {labels}. The MNIST teacher has learned from the digits on which it is judged here."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _picture(scores: Scores, weights: Weights, quality: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    order = sorted((*METHODS, *BESIDE), key=lambda name: float(scores[name].mean()))
    for place, name in enumerate(order):
        span = Interval.of(list(100 * scores[name]))
        ends = [[span.mean - span.low], [span.high - span.mean]]
        left.errorbar([span.mean], [place], xerr=ends, fmt="o", color="grey" if name in BESIDE else "C0", capsize=3)  # fmt: skip
    left.axvline(100 * float(scores[REFERENCE].mean()), color="C0", linewidth=1, linestyle="--")
    left.set_yticks(range(len(order)), order)
    left.set(xlabel=f"test accuracy of the student, % (dashed: {REFERENCE}; grey: beside the methods)")
    shown = [(place, name) for place, name in enumerate(order) if name in weights]
    begin = [0.0] * len(shown)
    for number, teacher in enumerate(TEACHERS):
        parts = [float(weights[name][teacher].mean()) for _, name in shown]
        label = f"{teacher}, {100 * quality[teacher].mean():.1f} % right"
        right.barh(
            [place for place, _ in shown], parts, left=begin, height=0.6, color=f"C{number + 1}", label=label
        )
        begin = [start + part for start, part in zip(begin, parts, strict=True)]
    right.set(xlabel="weight of each teacher", xlim=(0, 1))
    for share in (1 / 3, 2 / 3):
        right.axvline(share, color="black", linewidth=1, linestyle=":")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, fontsize=8, frameon=False)
    left.grid(visible=True, axis="x", alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
