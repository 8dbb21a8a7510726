"""Ranking films: users who stay apart rank better together, and a small network ranks better with a large one's rankings than on labels alone.

MovieLens-100k, the next film of each user among all that the user has not rated. Federated: five clients with the users dealt round, an
unlabelled public set of further users, a network that knows no user by name. Offline: a teacher learns from the whole pool, students of an
eighth of its width from a part of it. Beside them stands the popularity of films, without any network.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from matplotlib.figure import Figure

from fedkd.data.datasets.movielens import MovieLens
from fedkd.foundation.seeding import Streams
from fedkd.models._items import Known, excluded
from fedkd.models.base import Signature
from fedkd.tasks import Ranking
from simulations.study import Interval, Sheet, Study, choose, seeds_from_command_line

ADAM = "method.client.fit.optimizer={name:adam,lr:0.003}"
FEDERATED = [
    "data=movielens", "data.samples=30000", "partition=natural", "partition.merge=true", "clients=5", "proxy=heldout", "proxy.size=2000",
    "proxy.by_owner=true", "proxy.labelled=false", "model=item_bag", "rounds=3", "evaluate_every=3", "runtime=inline", "threads=1",
    "method.client.fit.epochs=1", "method.client.fit.batch_size=64", ADAM,
]  # fmt: skip
CODISTILLED = [
    "method=fedmd", "method.client.pretrain.epochs=0", "method.client.divergence=task", "method.client.digest.epochs=2",
    "method.client.digest.optimizer.lr=0.003", "method.distiller=null",
]  # fmt: skip
DISTILLED = [
    "method=feddf", "method.distiller.fit.epochs=2", "method.distiller.patience=null", "method.distiller.fit.optimizer.lr=0.003",
]  # fmt: skip
ARMS: Mapping[str, tuple[str, Sequence[str]]] = {
    "local": ("clients_mean", ["method=local"]),
    "FedMD, mean logits": ("clients_mean", CODISTILLED),
    "FedMD, reciprocal ranks": (
        "clients_mean",
        [*CODISTILLED, "method.fusion={name: reciprocal_rank, sharpness: 2}"],
    ),
    "FedAvg": ("student", ["method=fedavg"]),
    "FedDF, mean logits": ("student", DISTILLED),
    "FedDF, Borda": ("student", [*DISTILLED, "method.fusion={name: borda, sharpness: 8}"]),
    "pooled": ("student", ["method=pooled"]),
}
"""What is run, and whose network is judged: the clients' mean where each keeps its own."""

POOL = ["data=movielens", "data.samples=20000", "runtime=inline", "threads=1"]
LARGE = [
    "method=pooled", "partition=iid", "clients=1", "rounds=1", "proxy=none", "model=item_bag", "model.width=64",
    "method.client.fit.epochs=4", "method.client.fit.batch_size=128", ADAM,
]  # fmt: skip
SMALL = ["method=rd", "proxy.size=4000", "method.client.fit.epochs=0", "method.distiller.fit.epochs=6"]
"""A teacher that learned from the whole pool; a student of an eighth of its width, which sees a fifth of the pool."""

LABELS = "{name:supervised,labels:proxy}"
STUDENTS: Mapping[str, Sequence[str]] = {
    "labels alone": (f"[{LABELS}]",),
    "kd": tuple(f"[{LABELS},{{name:kd,temperature:1,weight:{weight}}}]" for weight in (1, 3)),
    "rd": tuple(f"[{LABELS},{{name:rd,weight:{weight}}}]" for weight in (0.3, 3)),
    "rrd": tuple(
        f"[{LABELS},{{name:rrd,interesting:40,uninteresting:40,weight:{weight}}}]" for weight in (0.003, 0.03)
    ),
    "cd": tuple(
        f"[{LABELS},{{name:cd,items:40,decay:100,bias:5,weight:{weight}}}]" for weight in (0.003, 0.03)
    ),
    "de_rrd": tuple(
        f"[{LABELS},{{name:rrd,interesting:40,uninteresting:40,weight:{weight}}},{{name:de,experts:5,weight:0.01}}]"
        for weight in (0.003, 0.03)
    ),
}
"""The terms of each student's objective, at two strengths where it has one; validation data chooses."""

METRICS = {"ndcg_10": "NDCG@10", "hr_10": "HR@10"}
POPULARITY, TEACHER = "popularity", "teacher"
Table = pd.DataFrame
"""One row a seed, one column a metric, on test data."""


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("ranking", seeds_from_command_line(__doc__))
    together = {POPULARITY: _popularity(study.seeds)}
    frame = study.run({arm: own for arm, (_, own) in ARMS.items()}, common=FEDERATED)
    for arm, (scope, _) in ARMS.items():
        together[arm] = _table(frame[frame["arm"] == arm].set_index("seed"), scope)
    frame = study.run({TEACHER: LARGE}, common=POOL)
    teachers = frame.set_index("seed")
    apart, chosen = {TEACHER: _table(teachers, "student")}, {}
    for name, terms in STUDENTS.items():
        frame = pd.concat(
            Study(study.name, [seed]).run(
                {name: [*SMALL, f"method.strategy.checkpoints=[{teachers['folder'][seed]}]"]},
                common=POOL,
                grid=[f"method.distiller.terms={one}" for one in terms],
            )
            for seed in study.seeds
        )
        best = choose(frame, name, "student/validation/ndcg_10")
        apart[name] = _table(best, "student")
        chosen[name] = f"{int(best['point'].iloc[0]) + 1} of {len(terms)}"
    gains = {
        f"{name} minus labels alone": _difference(apart, name, "labels alone") for name in list(STUDENTS)[1:]
    }
    pairs = [
        ("FedAvg", "local"),
        ("FedMD, mean logits", "local"),
        ("FedMD, reciprocal ranks", "FedMD, mean logits"),
    ]
    pairs += [
        ("FedDF, mean logits", "FedAvg"),
        ("FedDF, Borda", "FedDF, mean logits"),
        ("pooled", "FedAvg"),
        ("local", POPULARITY),
    ]
    gains |= {f"{one} minus {other}": _difference(together, one, other) for one, other in pairs}
    settled = [
        f"{name} {gain['ndcg_10'].points()}" for name, gain in gains.items() if gain["ndcg_10"].excludes_zero
    ]
    study.picture(_picture(together, apart))
    study.show(
        f"Federated ranking of films, {len(study.seeds)} paired seeds, test data in % [95 % interval]",
        ["arm", *METRICS.values()],
        [
            [arm, *(Interval.of(list(table[name])).percent() for name in METRICS)]
            for arm, table in together.items()
        ],
        f"NDCG@10, certain at 95 %, points: {'; '.join(settled) or 'nothing'}.",
        further=[
            Sheet(
                "A large network teaches a small one",
                ["student", "strength", *METRICS.values()],
                [
                    [
                        name,
                        chosen.get(name, "-"),
                        *(Interval.of(list(table[one])).percent() for one in METRICS),
                    ]
                    for name, table in apart.items()
                ],
            ),
            Sheet(
                "Paired differences, points",
                ["difference", *METRICS.values()],
                [[name, *(gain[one].points() for one in METRICS)] for name, gain in gains.items()],
            ),
        ],
    )


def _popularity(seeds: Sequence[int]) -> Table:
    """Return what it is worth to show everybody the films that were rated most and that they have not rated; the split is fixed."""
    loaded = MovieLens().load(Streams(0))
    signature, test = Signature.of(loaded.info), loaded.test
    counts = torch.bincount(loaded.train.targets, minlength=signature.num_outputs).float()
    known = Known(signature)(test.inputs["history"], [test.inputs["seen"]])
    measured = Ranking().metrics(excluded(counts.expand(len(test), -1), known), test.targets)
    return pd.DataFrame([{name: measured[name] for name in METRICS} for _ in seeds], index=list(seeds))


def _table(runs: Table, scope: str) -> Table:
    return pd.DataFrame({name: runs[f"{scope}/test/{name}"] for name in METRICS}).sort_index()


def _difference(tables: Mapping[str, Table], one: str, other: str) -> dict[str, Interval]:
    return {name: Interval.of(list(tables[one][name] - tables[other][name])) for name in METRICS}


def _picture(together: Mapping[str, Table], apart: Mapping[str, Table]) -> Figure:
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    sides = {"clients together": together, "a small student": apart}
    for axes, (title, tables) in zip(figure.subplots(1, 2), sides.items(), strict=True):
        for place, table in enumerate(tables.values()):
            values = 100 * table["ndcg_10"]
            one = Interval.of(list(values))
            axes.scatter(values, [place] * len(values), s=12, color="C7", alpha=0.6)
            ends = [[one.mean - one.low], [one.high - one.mean]]
            axes.errorbar([one.mean], [place], xerr=ends, fmt="o", capsize=3, color="C0")
        axes.set_yticks(range(len(tables)), list(tables))
        axes.invert_yaxis()
        axes.set_title(title)
        axes.set_xlabel("NDCG@10 of the next film, %")
        axes.grid(visible=True, alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
