"""Recognition: clients who know different people learn embeddings together that tell apart people whom nobody has seen.

ORL faces, 28 x 23 pixels: four clients with six people each, an unlabelled public set of further pictures of them, twelve people for the
test. Axes of networks that were trained apart have nothing in common, angles between samples do. So teachers that trained once, apart, are
brought together by the mean of their relations or of their embeddings, and a fresh student learns relations or embeddings of that: four
ways. Beside them are the federated methods, with the same plan of training, which was not tuned for any, and the pixels themselves.

Speakers of Japanese vowels, three clients with two speakers each: the federated methods once more, on series of any length.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from fedkd.data.datasets.orl_faces import OrlFaces
from fedkd.foundation.seeding import Streams
from fedkd.tasks import Recognition
from simulations.study import Interval, Sheet, Study, seeds_from_command_line

COMMON = [
    "data=orl_faces", "data.shrink=4", "data.test=0.3", "partition=classes", "partition.classes_per_client=6", "clients=4",
    "proxy=heldout", "proxy.labelled=false", "model=mlp", "student=same", "runtime=inline", "threads=1",
    "method.client.fit.batch_size=32", "method.client.fit.optimizer={name: adam, lr: 0.001}",
]  # fmt: skip
ROUNDS = ["rounds=10", "evaluate_every=10", "method.client.fit.epochs=5"]
ONCE = ["method=aver", "rounds=1", "method.client.fit.epochs=50", "method.distiller.label_weight=0"]
FEDMD = ["method=fedmd", "method.client.pretrain.epochs=0", "method.client.digest.epochs=5", *ROUNDS]
ARMS: Mapping[str, tuple[str, Sequence[str]]] = {
    "local": ("clients_mean", ["method=local", *ROUNDS]),
    "one-shot, relations": ("student", [*ONCE, "method.fusion=mean_relations"]),
    "one-shot, relations to embeddings": (
        "student",
        [*ONCE, "method.fusion=mean_relations", "method.distiller.divergence=cosine"],
    ),
    "one-shot, embeddings": (
        "student",
        [*ONCE, "method.fusion=mean_logits", "method.distiller.divergence=cosine"],
    ),
    "one-shot, embeddings to relations": ("student", [*ONCE, "method.fusion=mean_logits"]),
    "FedMD, relations": (
        "clients_mean",
        [*FEDMD, "method.client.divergence=task", "method.fusion=mean_relations"],
    ),
    "FedMD, embeddings": (
        "clients_mean",
        [*FEDMD, "method.client.divergence=cosine", "method.fusion=mean_logits"],
    ),
    "FedAvg": ("student", ["method=fedavg", *ROUNDS]),
    "FedDF, relations": ("student", ["method=feddf", "method.fusion=mean_relations", *ROUNDS]),
    "FedDF, embeddings": (
        "student",
        ["method=feddf", "method.fusion=mean_logits", "method.distiller.divergence=cosine", *ROUNDS],
    ),
    "pooled": ("student", ["method=pooled", *ROUNDS]),
}
"""What is run, and whose network is judged: the clients' mean where each keeps its own. Named by what is fused, and to what, if it is
another, the student is held."""

SPEAKERS = [
    "data=japanese_vowels", "data.test=0.34", "partition=classes", "partition.classes_per_client=2", "clients=3",
    "proxy=heldout", "proxy.labelled=false", "model=conv1d", "student=same", "runtime=inline", "threads=1",
    "method.client.fit.batch_size=32", "method.client.fit.optimizer={name: adam, lr: 0.001}",
]  # fmt: skip
HEARD = ("local", "FedMD, relations", "FedAvg", "FedDF, relations", "pooled")
"""The arms that are run on speakers too."""

PAIRS = (
    ("one-shot, relations", "one-shot, embeddings to relations"),
    ("one-shot, relations to embeddings", "one-shot, embeddings"),
    ("one-shot, relations to embeddings", "one-shot, relations"),
    ("one-shot, relations to embeddings", "local"),
    ("FedMD, relations", "FedMD, embeddings"),
    ("FedMD, relations", "local"),
    ("FedDF, relations", "FedDF, embeddings"),
    ("FedDF, relations", "FedAvg"),
    ("FedAvg", "local"),
    ("FedAvg", "raw pixels"),
    ("pooled", "FedAvg"),
)
RAW = "raw pixels"
METRICS = {"eer": "EER", "rank_1": "rank-1", "auc": "AUC"}
Table = pd.DataFrame
"""One row a seed, one column a metric, on test data."""


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("recognition", seeds_from_command_line(__doc__))
    frame = study.run({arm: own for arm, (_, own) in ARMS.items()}, common=COMMON)
    results = {RAW: _raw(study.seeds)} | {arm: _table(frame, arm, scope) for arm, (scope, _) in ARMS.items()}
    voices = study.run({f"{arm}, speakers": ARMS[arm][1] for arm in HEARD}, common=SPEAKERS)
    heard = {arm: _table(voices, f"{arm}, speakers", ARMS[arm][0]) for arm in HEARD}
    rows = [
        [arm, *(Interval.of(list(table[name])).percent() for name in METRICS)]
        for arm, table in results.items()
    ]
    differences = {
        f"{better} minus {worse}": {name: _difference(results, better, worse, name) for name in METRICS}
        for better, worse in PAIRS
    }
    settled = [
        f"{named} {'lower' if each['eer'].mean < 0 else 'higher'} in EER"
        for named, each in differences.items()
        if each["eer"].excludes_zero
    ]
    study.picture(_picture(results))
    study.show(
        f"People never seen in training, ORL faces, {len(study.seeds)} paired seeds, test data in % [95 % interval]",
        ["arm", *METRICS.values()],
        rows,
        f"Certain at 95 %: {'; '.join(settled) or 'nothing'}. EER: smaller is better.",
        further=[
            Sheet(
                "Paired differences, points",
                ["difference", *METRICS.values()],
                [[named, *(each[name].points() for name in METRICS)] for named, each in differences.items()],
            ),
            Sheet(
                "Speakers never heard in training, Japanese vowels, and paired differences in EER",
                ["arm", *METRICS.values(), "EER minus local, points"],
                [
                    [
                        arm,
                        *(Interval.of(list(table[name])).percent() for name in METRICS),
                        _difference(heard, arm, "local", "eer").points(),
                    ]
                    for arm, table in heard.items()
                ],
            ),
        ],
    )


def _table(frame: pd.DataFrame, arm: str, scope: str) -> Table:
    own = frame[frame["arm"] == arm].set_index("seed").sort_index()
    return pd.DataFrame({name: own[f"{scope}/test/{name}"] for name in METRICS})


def _raw(seeds: Sequence[int]) -> Table:
    """Return what the pixels of the test people are worth without a network, on the same splits."""
    measured = []
    for seed in seeds:
        test = OrlFaces(shrink=4, test=0.3).load(Streams(seed)).test
        measured.append(Recognition().metrics(test.inputs["image"].flatten(1), test.targets))
    return pd.DataFrame([{name: one[name] for name in METRICS} for one in measured], index=list(seeds))


def _difference(results: Mapping[str, Table], better: str, worse: str, metric: str) -> Interval:
    return Interval.of(list(results[better][metric] - results[worse][metric]))


def _picture(results: Mapping[str, Table]) -> Figure:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("eer", "rank_1"), strict=True):
        for place, table in enumerate(results.values()):
            values = 100 * table[name]
            one = Interval.of(list(values))
            axes.scatter(values, [place] * len(values), s=12, color="C7", alpha=0.6)
            axes.errorbar(
                [one.mean],
                [place],
                xerr=[[one.mean - one.low], [one.high - one.mean]],
                fmt="o",
                capsize=3,
                color="C0",
            )
        axes.set_yticks(range(len(results)), list(results))
        axes.set_xlabel({"eer": "equal error rate, %", "rank_1": "rank-1 identification, %"}[name])
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    main()
