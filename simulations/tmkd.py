"""Two stages and a head for each teacher: does a student with few labels gain by either?

Yang et al., "Model Compression with Two-stage Multi-teacher Knowledge Distillation for Web Question Answering System" (WSDM 2020). Claims: a student that
first learns what teachers say about unlabelled samples, and then from labels too, is better than one that learns on the labelled samples alone; heads that
learn from a teacher each are better than one head that learns from all.

Fashion-MNIST. Four teachers, two networks and two linear ones, learn from 1,000 samples; a student of 16 units learns on 1,000 others, of which 250 have
labels. In one half of the runs one of the networks was taught the next class in place of the true one. All arms take the same number of steps. Options are
the recipe's, none is chosen.
"""

import json
from collections.abc import Mapping

from matplotlib.figure import Figure

from simulations.study import Interval, Study, bars, seeds_from_command_line

COMMON = [
    "method=tmkd", "data=fashion_mnist", "data.samples=2000", "data.test_samples=3000", "proxy=heldout", "proxy.size=1000",
    "method.client.fit.epochs=10", "runtime=inline", "threads=1",
]  # fmt: skip
TEACHERS = {"honest": "partition.noise=0", "one is wrong": "partition.noise=[1,0,0,0]"}
HEADS, HEAD = [f"heads.{teacher}" for teacher in range(4)], ["logits"]
EACH, ONE = ["student=heads", "student.hidden=[16]"], ["student=mlp", "student.hidden=[16]"]
SOFT, BOTH, HARD = {}, {"label_weight": 0.5, "labelled": 0.25}, {"label_weight": 1.0, "labelled": 0.25}
"""What is learned: answers on all samples, labels and answers on the labelled ones, labels alone."""


def staged(heads: list[str], first: Mapping[str, float], second: Mapping[str, float]) -> str:
    """Return the terms of two stages of equal length."""
    plans = ((first, {"begin": 1, "end": 0}), (second, {"begin": 0, "end": 1}))
    terms = [
        {"name": "tmkd", "heads": heads, **learned, "schedule": {"shape": "step", "over": 0.5, **plan}}
        for learned, plan in plans
    ]
    return "method.distiller.terms=" + json.dumps(terms).replace('"', "")


REFERENCE = "two stages, a head for each"
ARMS = {
    REFERENCE: [*EACH, staged(HEADS, SOFT, BOTH)],
    "two stages, one head": [*ONE, staged(HEAD, SOFT, BOTH)],
    "second stage alone, a head for each": [*EACH, staged(HEADS, BOTH, BOTH)],
    "first stage alone, a head for each": [*EACH, staged(HEADS, SOFT, SOFT)],
    "labels alone": [*ONE, staged(HEAD, HARD, HARD)],
}
ACCURACY = "student/test/accuracy"


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("tmkd", seeds_from_command_line(__doc__))
    frame = study.run(
        {f"{name}, {who}": [*own, those] for who, those in TEACHERS.items() for name, own in ARMS.items()},
        common=COMMON,
    )
    rows, said = [], []
    found: dict[str, dict[str, Interval]] = {}
    for who in TEACHERS:
        scores = {
            name: frame[frame["arm"] == f"{name}, {who}"].set_index("seed").sort_index()[ACCURACY]
            for name in ARMS
        }
        gains = {name: Interval.of(list(scores[REFERENCE] - own)) for name, own in scores.items()}
        rows += [
            [who, name, Interval.of(list(own)).percent(), "" if name == REFERENCE else gains[name].points()]
            for name, own in scores.items()
        ]
        found[who] = {name: Interval.of(list(own)) for name, own in scores.items()}
        said.append(
            f"with teachers of whom {who if who != 'honest' else 'all are honest'}: two stages against the second alone "
            f"{gains['second stage alone, a head for each'].points()}, a head for each against one head {gains['two stages, one head'].points()}"
        )
    study.picture(picture(found))
    study.show(
        f"TMKD with labels of a quarter of the samples, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["teachers", "student", "accuracy", "TMKD minus this, points"],
        rows,
        f"Points, {'; '.join(said)}.",
    )


def picture(found: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """Draw accuracies, one panel for each kind of teachers."""
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    for axes, (who, scores) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        bars(axes, scores, ["C0" if name == REFERENCE else "grey" for name in scores])
        axes.set_title(f"teachers: {who}")
        axes.set_xlabel("test accuracy, %")
    return figure


if __name__ == "__main__":
    main()
