"""Graphs: between samples of a data set, in the data itself, and between clients.

Cora: a graph network (SIGN) that sees neighbourhoods learns 20 labels a class; an MLP that sees the words of an article alone learns what it says of
the 1,208 nodes of the training pool (`kd`), and, beside that, how alike neighbours are (`lsp`) or which nodes to tell apart (`g_crd`). Controls: the MLP on
labels alone, hard labels of the graph network. Weights of terms and passes over labels are those that are best on validation data.

Cora again: the student is a graph network of four units a map, which sees what its teacher sees. Control: `kd` alone.

Fashion-MNIST: a small student learns the labels, and beside them the softened answers of its teacher (`kd`), the graph of distances between samples (`irg`),
what samples and their neighbours are together (`hkd`), or answers and one of both; the weight of each is that which is best on validation data, since the
papers' suit other networks.

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
CONTRAST = [
    f"method.distiller.terms=[{KD},{{name:g_crd,weight:{weight}}}]" for weight in (0.01, 0.1, 1.0, 10.0)
]
BESIDE_ANSWERS = {"structure (kd, lsp)": STRUCTURE, "contrast (kd, g_crd)": CONTRAST}
SMALL = ["student=sign", "student.hidden=4"]
ANSWERS = {
    "mlp, taught hard labels": [f"method.distiller.terms=[{KD}]", "method.distiller.hard=true"],
    "mlp, taught answers (kd)": [f"method.distiller.terms=[{KD}]"],
}
IMAGES = [
    *INLINE, "method=irg", "data=fashion_mnist", "data.samples=2000", "data.test_samples=3000", "method.client.fit.epochs=15", "method.distiller.fit.epochs=25",
]  # fmt: skip
SUPERVISED = "{name:supervised,labels:proxy}"
SOFT = "{name:kd,temperature:4,weight:0.1}"
HKD = "{{name:hkd,labels:proxy,weight:{}}}"
IRG = "{{name:irg,student_layers:[body.1,features],teacher_layers:[body.1,features],weight:{}}}"
BESIDE_LABELS = {
    "labels, kd": ("{{name:kd,temperature:4,weight:{}}}", (0.02, 0.1, 0.5)),
    "labels, irg": (IRG, (0.02, 0.2, 1.0)),
    "labels, kd, irg": (f"{SOFT.replace('{', '{{').replace('}', '}}')},{IRG}", (0.02, 0.2, 1.0)),
    "labels, hkd": (HKD, (0.02, 0.2, 1.0, 3.0)),
    "labels, kd, hkd": (f"{SOFT.replace('{', '{{').replace('}', '}}')},{HKD}", (0.02, 0.2, 1.0, 3.0)),
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
    small, further = _small(study)
    samples = _samples(study)
    clients = _scores(study.run(CONSENSUS, common=CLUSTERS), OWN)
    panels = {
        "Cora, against labels": _gains(nodes, "mlp, labels"),
        "Cora, small graph network, against kd": _gains(small, "kd"),
        "Fashion-MNIST, against labels": _gains(samples, "labels"),
        "clusters, against uniform": _gains(clients, "uniform"),
    }
    study.picture(_picture(panels))
    study.show(
        f"Cora, 20 labels a class, {len(study.seeds)} paired seeds, test accuracy in %, difference to the MLP on labels [95 % interval]",
        COLUMNS,
        _rows(nodes, "mlp, labels"),
        " ".join([*lines, *further, *_verdicts(samples, clients)]),
        further=[
            Sheet(
                "Cora, student a graph network of four units a map: test accuracy in %, difference to kd",
                COLUMNS,
                _rows(small, "kd"),
            ),
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
    """Return the accuracy of each arm on Cora by seed, and what the comparison with kd alone says."""
    labels = study.run({"mlp, labels": []}, common=LABELS, grid=PASSES)
    answers = study.run(ANSWERS, common=TAUGHT)
    scores = {
        "graph network, labels": _scores(answers, TEACHER)["mlp, taught answers (kd)"],
        "mlp, labels": choose(labels, "mlp, labels", CHOICE)[REPORT],
        **_scores(answers, REPORT),
    }
    alone, lines = scores["mlp, taught answers (kd)"], []
    for beside, grid in BESIDE_ANSWERS.items():
        name = f"mlp, taught answers and {beside}"
        scores[name], weight = _weighed(study, name, TAUGHT, grid)
        gap = Interval.of(list(scores[name] - alone))
        lines.append(
            f"On Cora {beside} with the weight {weight} adds {gap.points()} points to kd alone: {_settled(gap)}."
        )
    hard = Interval.of(list(scores["mlp, taught hard labels"] - alone))
    lines.append(
        f"The graph network's hard labels are {hard.points()} points from its soft answers: {_settled(hard)}."
    )
    return scores, lines


def _small(study: Study) -> tuple[dict[str, pd.Series], list[str]]:
    """Return the accuracy of a small graph network on Cora by arm and seed, and what the comparison with kd alone says."""
    common = [*TAUGHT, *SMALL]
    given = "small graph network, taught answers (kd)"
    answers = study.run({given: ANSWERS["mlp, taught answers (kd)"]}, common=common)
    scores, lines = {"kd": _scores(answers, REPORT)[given]}, []
    for beside, grid in BESIDE_ANSWERS.items():
        terms = beside.partition("(")[2].rstrip(")")
        scores[terms], weight = _weighed(
            study, f"small graph network, taught answers and {beside}", common, grid
        )
        gap = Interval.of(list(scores[terms] - scores["kd"]))
        lines.append(
            f"To a small graph network {terms} with the weight {weight} adds {gap.points()} points to kd alone: {_settled(gap)}."
        )
    return scores, lines


def _weighed(study: Study, name: str, common: list[str], grid: list[str]) -> tuple[pd.Series, str]:
    """Return an arm's accuracy by seed with the weight that is best on validation data, and that weight."""
    best = choose(study.run({name: []}, common=common, grid=grid), name, CHOICE)
    return best[REPORT], grid[int(best["point"].iloc[0])].rpartition("weight:")[2].rstrip("}]")


def _samples(study: Study) -> dict[str, pd.Series]:
    """Return the accuracy of each arm on the images by seed, each term with the weight that is best on validation data."""
    labels = study.run({"labels": [f"method.distiller.terms=[{SUPERVISED}]"]}, common=IMAGES)
    scores = _scores(labels, REPORT)
    for name, (terms, weights) in BESIDE_LABELS.items():
        grid = [f"method.distiller.terms=[{SUPERVISED},{terms.format(weight)}]" for weight in weights]
        scores[name] = choose(study.run({name: []}, common=IMAGES, grid=grid), name, CHOICE)[REPORT]
    return scores


def _verdicts(samples: Mapping[str, pd.Series], clients: Mapping[str, pd.Series]) -> list[str]:
    lines = []
    for term in ("irg", "hkd"):
        instead, beside = (
            Interval.of(list(samples[name] - samples["labels, kd"]))
            for name in (f"labels, {term}", f"labels, kd, {term}")
        )
        lines.append(
            f"On the images {term} in place of kd makes {instead.points()} points, beside it {beside.points()}: {_settled(instead)}, "
            f"{_settled(beside)}."
        )
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
        axes.set_ylim(len(own) - 0.5, -0.5)
        axes.set_title(title, fontsize=10)
        axes.grid(visible=True, alpha=0.3)
    sides[-1].set_xlabel("difference in accuracy, points")
    return figure


if __name__ == "__main__":
    main()
