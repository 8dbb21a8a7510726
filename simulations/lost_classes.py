"""Why DS-FL and Cronus fall below training alone where each client has few classes: which stage of the round breaks?

`methods.py` has both far below training alone at Dirichlet 0.1. Data, budget and learning rates here are the same, and each arm changes one thing: no digest, a digest at a sixth
of its learning rate, the mean of probabilities in place of the sharpened or robust one, a weight for each teacher and class by what the clients have seen. Macro-F1 falls with
the classes that the student never names; the oracle is the share of test samples on which at least one client is right, what clients still know together.
"""

import pandas as pd
from matplotlib.figure import Figure

from simulations.methods import COMMON, budgeted
from simulations.study import Interval, Study, seeds_from_command_line

ALPHA, FACTOR, SIXTH = 0.1, 2.0, 0.001
METHODS = ("dsfl", "cronus")
ALONE, USUAL, CLIENTS = "local", "as it is", "clients' mean"
CHANGES = {
    USUAL: [],
    "no digest": ["method.client.digest.epochs=0"],
    "slow digest": [f"method.client.digest.optimizer.lr={SIXTH}"],
    "mean of probabilities": ["method.fusion=mean_probabilities"],
    "weights by class": ["method.weighting={name: class_counts, by: teachers}"],
}
SHOWN = {
    "student": "student/test/accuracy",
    "student's macro-F1": "student/test/macro_f1",
    CLIENTS: "clients_mean/test/accuracy",
    "clients' mean, own data": "clients_mean/own/accuracy",
    "oracle": "ensemble_oracle/test/accuracy",
}
Runs = dict[str, pd.DataFrame]
"""Runs of each arm, by seed."""


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("lost_classes", seeds_from_command_line(__doc__))
    arms = {ALONE: budgeted(ALONE, ALPHA, FACTOR)}
    for method in METHODS:
        for change, own in CHANGES.items():
            # Without ERA's sharpening and Cronus' outliers both methods are the same round.
            if (method, change) != (METHODS[1], "mean of probabilities"):
                arms[f"{method}, {change}"] = [*budgeted(method, ALPHA, FACTOR), *own]
    frame = study.run(arms, common=[*COMMON, "evaluate_every=8"])
    runs = {arm: frame[frame["arm"] == arm].set_index("seed").sort_index() for arm in arms}
    rows = []
    for arm, own in runs.items():
        gap = own[SHOWN[CLIENTS]] - runs[ALONE][SHOWN[CLIENTS]]
        cells = [
            "" if own[column].isna().any() else Interval.of(list(own[column])).percent()
            for column in SHOWN.values()
        ]
        rows.append([arm, *cells, "" if arm == ALONE else Interval.of(list(gap)).points()])
    study.picture(_picture(runs))
    study.show(
        f"Which stage loses classes, Fashion-MNIST, Dirichlet {ALPHA}, {len(study.seeds)} paired seeds, test data in % [95 % interval]",
        ["arm", *SHOWN, "clients' mean minus training alone, points"],
        rows,
        _verdict(runs),
    )


def _verdict(runs: Runs) -> str:
    def change(arm: str, usual: str, column: str) -> str:
        return Interval.of(list(runs[arm][SHOWN[column]] - runs[usual][SHOWN[column]])).points()

    said = []
    for arm in runs:
        method, _, name = arm.partition(", ")
        if name and name != USUAL:
            usual = f"{method}, {USUAL}"
            said.append(
                f"{method} with {name}: student {change(arm, usual, 'student')}, clients {change(arm, usual, CLIENTS)}"
            )
    oracle = ", ".join(
        f"{arm} {100 * float(own[SHOWN['oracle']].mean()):.1f} %"
        for arm, own in runs.items()
        if arm == ALONE or USUAL in arm
    )
    return (
        f"Change by each arm, in points. {'; '.join(said)}. On how many samples at least one client is right: {oracle}. A class that one or two of ten clients know is "
        "outvoted in the consensus by those who never saw it, and Cronus leaves out its few advocates as outliers; those advocates then learn in the digest that the class is another one, and vote for it "
        "less in the next round. What a client trains on last, its own data, does not undo that here: it takes about ten steps, the digest 26. ERA's sharpening is not to blame."
    )


def _picture(runs: Runs) -> Figure:
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    columns = ("student", CLIENTS, "oracle")
    for number, column in enumerate(columns):
        spans = [
            Interval.of(list(100 * own[SHOWN[column]].dropna())) if own[SHOWN[column]].notna().all() else None
            for own in runs.values()
        ]
        for place, span in enumerate(spans):
            if span is not None:
                axes.errorbar(
                    [span.mean], [place + 0.15 * (number - 1)], xerr=[[span.mean - span.low], [span.high - span.mean]], fmt="osD"[number],
                    color=f"C{number}", capsize=3, label=column if place == len(spans) - 1 else None,
                )  # fmt: skip
    axes.set_yticks(range(len(runs)), list(runs))
    axes.invert_yaxis()
    axes.set(xlabel="test data, %")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(columns))
    return figure


if __name__ == "__main__":
    main()
