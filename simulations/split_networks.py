"""Does a larger network on the server, which reads what small ones on the clients see, make up for their size? FedGKT's claim.

He, Annavaram & Avestimehr (2020) find it level with FedAvg of a network as large as the server's, which is more than small networks can do. Here clients have a small
LeNet, and the server a ResNet that goes on from its first pooled layer (`split`). What a split method is judged by is the client's layers followed by the server's network, on
average over the clients. The control learns from labels alone on both sides, so that only features and labels cross and no knowledge is transferred.
Recipes' rates and passes over private data; the server makes three passes a round.
"""

import pandas as pd
from matplotlib.figure import Figure

from simulations.study import Interval, Study, seeds_from_command_line

COMMON = [
    "data=fashion_mnist", "data.samples=1000", "data.test_samples=1000", "proxy=none", "clients=10", "rounds=6", "evaluate_every=6",
    "runtime=inline", "threads=1",
]  # fmt: skip
PARTITIONS = {
    "iid": ["partition=iid"],
    "Dirichlet 0.5": ["partition=dirichlet", "partition.alpha=0.5"],
}
_LENET = ["model=lenet", "model.channels=[4,8]", "model.kernel=3", "model.hidden=16"]
_SPLIT = [
    *_LENET, "method=fedgkt", "method.knowledge.layer=body.2", "student=resnet", "student.channels=[8,16]", "method.distiller.fit.epochs=3"
]  # fmt: skip
ALONE, SMALL = "small, alone", "small, FedAvg"
SPLIT, LABELS = "split, FedGKT", "split, labels alone on both sides"
ARMS = {
    ALONE: [*_LENET, "method=local"],
    SMALL: [*_LENET, "method=fedavg"],
    SPLIT: _SPLIT,
    LABELS: [*_SPLIT, "method.client.weight=0", "method.distiller.label_weight=1"],
}
COMPARED = ((SPLIT, ALONE), (SPLIT, SMALL), (SPLIT, LABELS), (LABELS, SMALL))
MODEL, OWN = "model", "clients_mean/own/accuracy"
Runs = dict[tuple[str, str], pd.DataFrame]
"""Runs of each arm and partition, by seed."""


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("split_networks", seeds_from_command_line(__doc__))
    arms = {
        f"{arm}; {dealt}": [*own, *partition]
        for dealt, partition in PARTITIONS.items()
        for arm, own in ARMS.items()
    }
    frame = study.run(arms, common=COMMON)
    student = frame["student/test/accuracy"]
    frame = frame.assign(**{MODEL: student.fillna(frame["clients_mean/test/accuracy"])})
    runs = {
        (arm, dealt): frame[frame["arm"] == f"{arm}; {dealt}"].set_index("seed").sort_index()
        for arm in ARMS
        for dealt in PARTITIONS
    }
    rows = []
    for (arm, dealt), own in sorted(runs.items(), key=lambda one: list(PARTITIONS).index(one[0][1])):
        gap = own[MODEL] - runs[SMALL, dealt][MODEL]
        rows.append(
            [
                arm,
                dealt,
                Interval.of(list(own[MODEL])).percent(),
                Interval.of(list(own[OWN])).percent(),
                "" if arm == SMALL else Interval.of(list(gap)).points(),
                f"{own['bytes_up'].mean() / 1e6:.2f}",
                f"{own['bytes_down'].mean() / 1e6:.2f}",
            ]
        )
    study.picture(_picture(runs))
    study.show(
        f"Split networks on Fashion-MNIST, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        [
            "arm",
            "partition",
            "model in use",
            "clients, own data",
            "minus small FedAvg, points",
            "MB up",
            "MB down",
        ],
        rows,
        _verdict(runs),
        command=f"python -m simulations.split_networks --seeds {len(study.seeds)}",
    )


def _verdict(runs: Runs) -> str:
    said = []
    for dealt in PARTITIONS:
        gaps = {
            pair: Interval.of(list(runs[pair[0], dealt][MODEL] - runs[pair[1], dealt][MODEL]))
            for pair in COMPARED
        }
        words = (
            f"{one} is {_word(gap)} {other} ({gap.points()} points)" for (one, other), gap in gaps.items()
        )
        said.append(f"{dealt}: {'; '.join(words)}.")
    return (
        f"{' '.join(said)} Above or below: the whole 95 % interval of the paired difference lies on one side of 0; intervals are not corrected for their number. "
        "What is in use is the student of FedAvg, the client's own network alone, or a client's layers with the server's network, on average over the clients."
    )


def _word(gap: Interval) -> str:
    if not gap.excludes_zero or gap.low == gap.high:
        return "not told apart from"
    return "above" if gap.mean > 0 else "below"


def _picture(runs: Runs) -> Figure:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(PARTITIONS), sharey=True)
    for axes, dealt in zip(panels, PARTITIONS, strict=True):
        for place, arm in enumerate(ARMS):
            span = Interval.of(list(100 * runs[arm, dealt][MODEL]))
            axes.errorbar(
                [span.mean], [place], xerr=[[span.mean - span.low], [span.high - span.mean]], fmt="o", capsize=3,
                color="C0" if arm.startswith("split") else "C7",
            )  # fmt: skip
        axes.set(xlabel="test accuracy of what is in use, %", title=dealt)
        axes.grid(visible=True, alpha=0.3)
    panels[0].set_yticks(range(len(ARMS)), list(ARMS))
    panels[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    main()
