"""Graphs: between samples of a data set, in the data itself, and between clients.

Cora: a graph network (SIGN) that sees neighbourhoods learns 20 labels a class; an MLP that sees the words of an article alone learns what it says of
the 1,208 nodes of the training pool (`kd`), and, beside that, how alike neighbours are (`lsp`). Controls: the MLP on labels alone, hard labels of the
graph network. Weights of terms and passes over labels are those that are best on validation data.

Fashion-MNIST: a small student learns the labels, and beside them the softened answers of its teacher (`kd`), the graph of distances between samples (`irg`),
or both; the weight of each is that which is best on validation data, since the paper's suits other networks.

Fashion-MNIST again: eight clients in two clusters of five classes each. They train alone; are taught by the mean of all (uniform), by learned coefficients
(`kt_pfl`), or by a similarity graph: the three nearest alike, or all by a kernel (`similarity_graph`). Judged on each client's own classes.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from simulations.study import Interval, Sheet, Study, choose, seeds_from_command_line

INLINE = ["runtime=inline", "threads=1"]
NODES = [*INLINE, "data=cora", "partition=shared", "partition.per_class=20"]
LABELS = [
    *NODES, "method=pooled", "clients=1", "rounds=1", "proxy=none", "model=mlp", "model.hidden=[64]", "method.client.fit.batch_size=32",
    "method.client.fit.optimizer={name:adam,lr:0.005,weight_decay:0.0005}",
]  # fmt: skip
PASSES = [f"method.client.fit.epochs={epochs}" for epochs in (10, 40)]
TAUGHT = [*NODES, "method=lsp", "method.distiller.fit.epochs=60"]
KD = "{name:kd,temperature:1.0}"
LSP = "{{name:lsp,links:links,student_layer:features,teacher_layer:features,weight:{}}}"
STRUCTURE = [f"method.distiller.terms=[{KD},{LSP.format(weight)}]" for weight in (100, 1000)]
ANSWERS = {
    "mlp, taught hard labels": [f"method.distiller.terms=[{KD}]", "method.distiller.hard=true"],
    "mlp, taught answers (kd)": [f"method.distiller.terms=[{KD}]"],
}
IMAGES = [
    *INLINE, "method=irg", "data=fashion_mnist", "data.samples=2000", "data.test_samples=3000", "method.client.fit.epochs=15", "method.distiller.fit.epochs=25",
]  # fmt: skip
SUPERVISED = "{name:supervised,labels:proxy}"
SOFT = "{name:kd,temperature:4,weight:0.1}"
IRG = "{{name:irg,student_layers:[body.1,features],teacher_layers:[body.1,features],weight:{}}}"
BESIDE_LABELS = {
    "labels, kd": ("{{name:kd,temperature:4,weight:{}}}", (0.02, 0.1, 0.5)),
    "labels, irg": (IRG, (0.02, 0.2, 1.0)),
    "labels, kd, irg": (f"{SOFT.replace('{', '{{').replace('}', '}}')},{IRG}", (0.02, 0.2, 1.0)),
}
CLUSTERS = [
    *INLINE, "data=fashion_mnist", "data.samples=2400", "data.validation=0.03", "data.test_samples=500", "partition=classes",
    "partition.classes_per_client=5", "partition.clusters=2", "partition.holdout=0.5", "clients=8", "rounds=4", "proxy.size=400",
    "proxy.labelled=false", "method.client.fit.epochs=3", "method.client.fit.optimizer={name:adam,lr:0.003}",
]  # fmt: skip
GRAPH = "method=similarity_graph"
CONSENSUS = {
    "alone": ["method=local"],
    "uniform": [GRAPH, "method.strategy.neighbours=null"],
    "learned (kt_pfl)": ["method=kt_pfl"],
    "graph, 3 nearest": [GRAPH, "method.strategy.neighbours=3"],
    "graph, kernel": [GRAPH, "method.strategy.neighbours=null", "method.strategy.temperature=0.3"],
}
CHOICE, REPORT = "student/validation/accuracy", "student/test/accuracy"
TEACHER, OWN = "clients_mean/test/accuracy", "clients_mean/own/accuracy"
COLUMNS = ["", "accuracy", "difference, points"]


def main() -> None:
    """Run the studies, print their tables and draw them."""
    study = Study("graphs", seeds_from_command_line(__doc__))
    nodes, lines = _nodes(study)
    samples = _samples(study)
    clients = _scores(study.run(CONSENSUS, common=CLUSTERS), OWN)
    panels = {
        "Cora, against labels": _gains(nodes, "mlp, labels"),
        "Fashion-MNIST, against labels": _gains(samples, "labels"),
        "clusters, against uniform": _gains(clients, "uniform"),
    }
    study.picture(_picture(panels))
    study.show(
        f"Cora, 20 labels a class, {len(study.seeds)} paired seeds, test accuracy in %, difference to the MLP on labels [95 % interval]",
        COLUMNS,
        _rows(nodes, "mlp, labels"),
        " ".join([*lines, *_verdicts(samples, clients)]),
        further=[
            Sheet(
                "Fashion-MNIST, 2,000 samples, student of 16 and 16: test accuracy in %, difference to labels",
                COLUMNS,
                _rows(samples, "labels"),
            ),
            Sheet(
                "Fashion-MNIST, two clusters of clients: mean accuracy in % on held-out samples of their own, difference to uniform",
                COLUMNS,
                _rows(clients, "uniform"),
            ),
        ],
    )


def _nodes(study: Study) -> tuple[dict[str, pd.Series], list[str]]:
    """Return the accuracy of each arm on Cora by seed, and what the comparison of kd and lsp says."""
    labels = study.run({"mlp, labels": []}, common=LABELS, grid=PASSES)
    answers = study.run(ANSWERS, common=TAUGHT)
    structure = study.run({"mlp, taught answers and structure (kd, lsp)": []}, common=TAUGHT, grid=STRUCTURE)
    name = "mlp, taught answers and structure (kd, lsp)"
    best = choose(structure, name, CHOICE)
    scores = {
        "graph network, labels": _scores(answers, TEACHER)["mlp, taught answers (kd)"],
        "mlp, labels": choose(labels, "mlp, labels", CHOICE)[REPORT],
        **_scores(answers, REPORT),
        name: best[REPORT],
    }
    gap = Interval.of(list(scores[name] - scores["mlp, taught answers (kd)"]))
    hard = Interval.of(list(scores["mlp, taught hard labels"] - scores["mlp, taught answers (kd)"]))
    chosen = STRUCTURE[int(best["point"].iloc[0])].rpartition("weight:")[2].rstrip("}]")
    lines = [
        f"On Cora lsp beside kd (weight {chosen}) adds {gap.points()} points to kd alone: {_settled(gap)}.",
        f"The graph network's hard labels are {hard.points()} points from its soft answers: {_settled(hard)}.",
    ]
    return scores, lines


def _samples(study: Study) -> dict[str, pd.Series]:
    """Return the accuracy of each arm on the images by seed, each term with the weight that is best on validation data."""
    labels = study.run({"labels": [f"method.distiller.terms=[{SUPERVISED}]"]}, common=IMAGES)
    scores = _scores(labels, REPORT)
    for name, (terms, weights) in BESIDE_LABELS.items():
        grid = [f"method.distiller.terms=[{SUPERVISED},{terms.format(weight)}]" for weight in weights]
        scores[name] = choose(study.run({name: []}, common=IMAGES, grid=grid), name, CHOICE)[REPORT]
    return scores


def _verdicts(samples: Mapping[str, pd.Series], clients: Mapping[str, pd.Series]) -> list[str]:
    irg = Interval.of(list(samples["labels, irg"] - samples["labels, kd"]))
    both = Interval.of(list(samples["labels, kd, irg"] - samples["labels, kd"]))
    lines = [
        f"On the images irg in place of kd makes {irg.points()} points, beside it {both.points()}: {_settled(irg)}, {_settled(both)}."
    ]
    for name in ("graph, 3 nearest", "graph, kernel"):
        gain = Interval.of(list(clients[name] - clients["uniform"]))
        lines.append(
            f"Between clustered clients the {name} is {gain.points()} points from the uniform consensus: {_settled(gain)}."
        )
    return lines


def _settled(gain: Interval) -> str:
    if not gain.excludes_zero:
        return "not settled"
    return "better" if gain.mean > 0 else "worse"


def _scores(frame: pd.DataFrame, column: str) -> dict[str, pd.Series]:
    return {
        str(arm): own.set_index("seed").sort_index()[column] for arm, own in frame.groupby("arm", sort=False)
    }


def _gains(scores: Mapping[str, pd.Series], base: str) -> dict[str, Interval]:
    return {name: Interval.of(list(own - scores[base])) for name, own in scores.items() if name != base}


def _rows(scores: Mapping[str, pd.Series], base: str) -> list[list[str]]:
    gains = _gains(scores, base)
    return [
        [name, Interval.of(list(own)).percent(), gains[name].points() if name in gains else ""]
        for name, own in scores.items()
    ]


def _picture(panels: Mapping[str, Mapping[str, Interval]]) -> Figure:
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    sides = figure.subplots(len(panels), 1, height_ratios=[len(own) for own in panels.values()])
    for axes, (title, own) in zip(sides, panels.items(), strict=True):
        axes.axvline(0.0, color="grey", linewidth=1)
        for place, gain in enumerate(own.values()):
            mean = 100 * gain.mean
            ends = [[mean - 100 * gain.low], [100 * gain.high - mean]]
            axes.errorbar([mean], [place], xerr=ends, fmt="o", capsize=3, color="C0")
        axes.set_yticks(range(len(own)), list(own))
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10)
        axes.grid(visible=True, alpha=0.3)
    sides[-1].set_xlabel("difference in accuracy, points")
    return figure


if __name__ == "__main__":
    main()
