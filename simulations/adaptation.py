"""Adaptation: teachers of source domains, weighed by how much they are like an unlabelled target domain, teach a student that serves the target.

Ruder et al., "Knowledge Adaptation: Teaching to Adapt" (2017). Handwritten digits of four origins: scikit-learn's, mfeat's and MNIST's are the
target once each, and the three others (MNIST in negative among them) the sources. Last, clients that see MNIST rotated by 60 degrees to the left up to 60 to the
right, and a student of upright digits, so that the nearest source is known. The student sees 400 target samples without labels; seeds paired. Controls: teachers that count alike, the teacher of each source alone, and the one that is chosen by its similarity. The student on
the labels of the same 400 samples is the upper reference. Nothing is chosen, and no label of the target is looked at
before the test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
from matplotlib.figure import Figure
from scipy import stats

import fedkd
from fedkd.foundation.run_folder import RunFolder
from simulations.study import Interval, Sheet, Study, bars, seeds_from_command_line

DOMAINS = ("mnist", "negative", "digits", "mfeat")
WEIGHTINGS = {
    "uniform": "method.weighting=uniform",
    "similarity": "method.weighting=similarity",
    "domain classifier": "method.weighting={name:domain_classifier,form:density_ratio}",
}
LABELS = ["proxy.labelled=true", "method.distiller.label_weight=1"]
COMMON = ["method.client.fit.epochs=12", "method.distiller.fit.epochs=25", "runtime=inline", "threads=1"]
ROTATED = [
    "data=mnist_10k", "data.samples=5400", "data.test_samples=2000", "partition=feature", "partition.strength=60", "clients=5", "proxy.size=400",
]  # fmt: skip
REPORT = "student/test/accuracy"


def of_origins(target: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the sources for a target among digits of four origins, and the options of their data."""
    sources = [domain for domain in DOMAINS if domain != target]
    return sources, ["data.per_source=1000", f"data.target={target}", f"data.sources=[{','.join(sources)}]"]


TARGETS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    **{target: of_origins(target) for target in ("digits", "mfeat", "mnist")},
    "upright MNIST": (("-60 degrees", "-30", "0", "+30", "+60"), ROTATED),
}
"""Name of a target -> its sources, and the options of its runs."""


@dataclass(frozen=True)
class Teachers:
    """The teachers of one run, in the order of the sources.

    Attributes:
        accuracies: of each on test data of the target.
        weights: how much each counted.
    """

    accuracies: Sequence[float]
    weights: Sequence[float]

    @classmethod
    def of(cls, folder: Path) -> "Teachers":
        """Return the teachers of a run: their weights are in what its server remembers."""
        frame = fedkd.load_runs(folder)
        own = frame[
            (frame["scope"] == "client") & (frame["split"] == "test") & (frame["metric"] == "accuracy")
        ]
        checkpoint = RunFolder.open(folder).load_checkpoint()
        assert checkpoint is not None
        weights = safetensors.torch.load(checkpoint.blobs["strategy"])["weights"]
        return cls(list(own.sort_values("client")["value"]), weights.tolist())

    @property
    def nearest_first(self) -> bool:
        """Whether the teacher that counts most is the best one on the target."""
        return int(np.argmax(self.weights)) == int(np.argmax(self.accuracies))

    @property
    def chosen(self) -> float:
        """The accuracy of the teacher that counts most."""
        return self.accuracies[int(np.argmax(self.weights))]

    @property
    def agreement(self) -> float:
        """The rank correlation of weights and accuracies."""
        return float(stats.spearmanr(self.weights, self.accuracies).statistic)


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("adaptation", seeds_from_command_line(__doc__))
    rows, ranks, found, said = [], [], {}, []
    for target, (sources, options) in TARGETS.items():
        frame = study.run(
            {f"{target}, {arm}": [own] for arm, own in WEIGHTINGS.items()} | {f"{target}, labels": LABELS},
            common=["method=adaptation" if target in DOMAINS else "method=similarity", *options, *COMMON],
        )
        runs = {
            arm: frame[frame["arm"] == f"{target}, {arm}"].set_index("seed").sort_index()
            for arm in (*WEIGHTINGS, "labels")
        }
        teachers = {arm: [Teachers.of(folder) for folder in runs[arm]["folder"]] for arm in WEIGHTINGS}
        weighed = runs["similarity"][REPORT]
        alone = {
            f"teacher of {source}": [one.accuracies[place] for one in teachers["uniform"]]
            for place, source in enumerate(sources)
        }
        alone["teacher that is most similar"] = [one.chosen for one in teachers["similarity"]]
        scores = alone | {f"student, {arm}": list(own[REPORT]) for arm, own in runs.items()}
        found[target] = {who: Interval.of(values) for who, values in scores.items()}
        for who, values in scores.items():
            rows.append(
                [
                    target,
                    who,
                    Interval.of(values).percent(),
                    Interval.of(list(weighed - np.array(values))).points(),
                ]
            )
        gain = Interval.of(list(weighed - runs["uniform"][REPORT]))
        said.append(f"on {target} {gain.points()} points")
        ranks += [ranking(target, arm, sources, teachers[arm]) for arm in ("similarity", "domain classifier")]
    study.picture(picture(found))
    study.show(
        f"Adaptation to an unlabelled domain of digits, {len(study.seeds)} paired seeds, test accuracy on the target in % [95 % interval]",
        ["target", "who", "accuracy", "similarity student minus this, points"],
        rows,
        f"Similarity against uniform: {'; '.join(said)}.",
        further=[
            Sheet(
                "Do the weights rank the nearest source first? The nearest is the one whose teacher is best on the target's test data",
                [
                    "target",
                    "weighting",
                    "weights of the sources",
                    "accuracies of the teachers, %",
                    "nearest first",
                    "rank correlation",
                ],
                ranks,
            )
        ],
    )


def ranking(target: str, arm: str, sources: Sequence[str], teachers: Sequence[Teachers]) -> list[str]:
    """Return a row: mean weights and accuracies of the sources, and how well they agree."""
    weights = np.mean([one.weights for one in teachers], axis=0)
    accuracies = np.mean([one.accuracies for one in teachers], axis=0)
    return [
        target,
        arm,
        ", ".join(f"{source} {weight:.2f}" for source, weight in zip(sources, weights, strict=True)),
        ", ".join(
            f"{source} {100 * accuracy:.0f}" for source, accuracy in zip(sources, accuracies, strict=True)
        ),
        f"{sum(one.nearest_first for one in teachers)} of {len(teachers)} seeds",
        f"{np.mean([one.agreement for one in teachers]):+.2f}",
    ]


def picture(found: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """Draw accuracies on each target, one panel for each."""
    figure = Figure(figsize=(12, 7.2), layout="constrained")
    for axes, (target, scores) in zip(figure.subplots(2, 2).flat, found.items(), strict=True):
        bars(axes, scores, ["C0" if who.startswith("student") else "grey" for who in scores])
        axes.set_title(f"target: {target}")
        axes.set_xlabel("test accuracy, %")
    return figure


if __name__ == "__main__":
    main()
