"""Text classification: what averaging and distilling gain on 20 Newsgroups over clients that train alone, in accuracy and in calibration.

Ten clients with 4,000 messages at Dirichlet 0.3, 1,000 public messages, a small network on weights of words, the same passes over local data for
all; the rate of local training is chosen among five on validation data (among three at first, of which ends were chosen). Claims: FedAvg beats training alone; FedDF's students gain on
FedAvg's (Lin et al., 2020); FedMD's clients gain by the exchange (Li & Wang, 2019), against clients that have read the public messages with
their labels and exchange nothing; DS-FL reaches more than a client alone by answers alone (Itahara et al., 2021).
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from simulations.study import Interval, Sheet, Study, bars, choose, seeds_from_command_line

COMMON = [
    "data=newsgroups", "data.samples=4000", "data.test_samples=3000", "partition.alpha=0.3", "model=mlp", "model.hidden=[64]", "clients=10",
    "rounds=5", "evaluate_every=5", "method.client.fit.epochs=3", "runtime=inline", "threads=1",
]  # fmt: skip
PUBLIC = "proxy.size=1000"
METHODS = {
    "alone": ["method=local", "proxy=none"],
    "FedAvg": ["method=fedavg", "proxy=none"],
    "FedDF": ["method=feddf", PUBLIC],
    "DS-FL": ["method=dsfl", PUBLIC],
    "FedMD": ["method=fedmd", PUBLIC],
    "FedMD, no exchange": ["method=fedmd", PUBLIC, "method.client.digest.epochs=0"],
    "pooled": ["method=pooled", "proxy=none"],
}
RATES = [
    f"method.client.fit.optimizer={{name:adam,lr:{rate}}}" for rate in (0.001, 0.003, 0.01, 0.03, 0.0003)
]
WHO = {"alone": "clients_mean", "FedMD": "clients_mean", "FedMD, no exchange": "clients_mean"}
"""Whose answers are judged: the student's, or those of the clients where there is none for them to use."""
ACCURACY, F1, ECE = "accuracy", "macro_f1", "ece"
CLAIMS = (
    ("FedAvg", "alone"),
    ("FedDF", "FedAvg"),
    ("DS-FL", "alone"),
    ("FedMD", "FedMD, no exchange"),
    ("FedAvg", "pooled"),
)


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("text", seeds_from_command_line(__doc__))
    frame = study.run(METHODS, common=COMMON, grid=RATES)
    best = {name: choose(frame, name, f"{who(name)}/validation/{ACCURACY}") for name in METHODS}
    scores = {
        metric: {name: found[f"{who(name)}/test/{metric}"] for name, found in best.items()}
        for metric in (ACCURACY, F1, ECE)
    }
    gains = {
        f"{one} against {other}": Interval.of(list(scores[ACCURACY][one] - scores[ACCURACY][other]))
        for one, other in CLAIMS
    }
    words = {
        name: "better" if gain.low > 0 else "worse" if gain.high < 0 else "not settled"
        for name, gain in gains.items()
    }
    study.picture(_picture(scores))
    study.show(
        f"20 Newsgroups, ten clients at Dirichlet 0.3, {len(study.seeds)} paired seeds, on test data in % [95 % interval]",
        ["method", "rate", "accuracy", "macro-F1", "calibration error (ECE)"],
        [
            [
                name,
                RATES[int(found["point"].iloc[0])].rpartition(":")[2].rstrip("}"),
                *(Interval.of(list(by_name[name])).percent() for by_name in scores.values()),
            ]
            for name, found in best.items()
        ],
        " ".join(f"{name}: {word}." for name, word in words.items()),
        further=[
            Sheet(
                "Differences in accuracy",
                ["comparison", "difference, points"],
                [[name, gain.points()] for name, gain in gains.items()],
            )
        ],
    )


def who(name: str) -> str:
    """Return whose answers are judged in an arm."""
    return WHO.get(name, "student")


def _picture(scores: Mapping[str, Mapping[str, "pd.Series[float]"]]) -> Figure:
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, metric, label in zip(
        figure.subplots(1, 2), (ACCURACY, ECE), ("test accuracy, %", "calibration error, %"), strict=True
    ):
        found = {name: Interval.of(list(values)) for name, values in scores[metric].items()}
        bars(axes, found, ["C1" if name in {"alone", "pooled"} else "C0" for name in found])
        axes.set_xlabel(label)
    return figure


if __name__ == "__main__":
    main()
