"""Enhancement: specialists of disjoint classes make one student of all classes, if classes that a specialist never saw are left out of its answer.

Shen et al., "Amalgamating Knowledge towards Comprehensive Classification" (AAAI 2019). Digits without labels, specialists of five classes
each or of two; seeds paired. Controls: means of the specialists' answers without masks, and the same student on the true labels. What
logits are centred by, and how much the specialists' merged features count beside their answers, is chosen on validation data.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.figure import Figure

from fedkd.assembly.build import load
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.trained import weights_in
from fedkd.engine.beginning import MODEL
from fedkd.foundation.run_folder import RunFolder
from fedkd.models.base import Signature, predict
from fedkd.runtime.flower_internals import deserialise
from simulations.study import Interval, Sheet, Study, bars, choose, seeds_from_command_line

SPLITS = {
    "2 of 5 classes": [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]],
    "5 of 2 classes": [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
}
ARMS = {
    "mean of probabilities": [
        "method.fusion={name: mean_probabilities, temperature: 4.0}",
        "method.weighting=uniform",
    ],
    "mean of logits": ["method.fusion=mean_logits", "method.weighting=uniform"],
    "labels": ["proxy.labelled=true", "method.distiller.label_weight=1"],
}
UNION, LAYERS = "union, masked", "union and layers"
CENTRED, STRENGTHS = ("false", "true"), (0.1, 1.0, 10.0)
SETTINGS = list(itertools.product(CENTRED, STRENGTHS))
COMMON = ["method=enhancement", "data=digits", "runtime=inline", "threads=1"]
CHOICE, REPORT = "student/validation/accuracy", "student/test/accuracy"
BEST, FUSED = "clients_mean/test/accuracy", "ensemble_uniform/test/accuracy"


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("enhancement", seeds_from_command_line(__doc__))
    rows, special, scores, said = [], [], {}, []
    for split, classes in SPLITS.items():
        common = [*COMMON, f"partition.classes={classes}", f"clients={len(classes)}"]
        others = study.run({f"{arm}, {split}": own for arm, own in ARMS.items()}, common=common)
        masked = study.run(
            {f"{UNION}, {split}": []}, common=common, grid=[f"method.fusion.centred={one}" for one in CENTRED]
        )
        merged = study.run(
            {f"{LAYERS}, {split}": ["method=amalgamation"]},
            common=common,
            grid=[layers(centred, strength) for centred, strength in SETTINGS],
        )
        best = choose(masked, f"{UNION}, {split}", CHOICE)
        alone = Interval.of(list(best[BEST]))
        rows.append(
            [split, "a specialist", alone.percent(), Interval.of(list(best[REPORT] - best[BEST])).points()]
        )
        found = {UNION: Interval.of(list(best[REPORT]))}
        for arm in ARMS:
            own = choose(others, f"{arm}, {split}", CHOICE)[REPORT]
            found[arm] = Interval.of(list(own))
            gain = Interval.of(list(best[REPORT] - own))
            rows.append([split, f"student, {arm}", found[arm].percent(), gain.points()])
            if arm != "labels":
                said.append(f"{split}, masks against the {arm}: {gain.points()} points")
        both = choose(merged, f"{LAYERS}, {split}", CHOICE)
        found[LAYERS], gain = Interval.of(list(both[REPORT])), Interval.of(list(best[REPORT] - both[REPORT]))
        centred, strength = SETTINGS[int(both["point"].iloc[0])]
        name = f"student, {LAYERS} (centred: {centred}, weight {strength:g})"
        rows.append([split, name, found[LAYERS].percent(), gain.points()])
        said.append(f"{split}, answers alone against answers and layers: {gain.points()} points")
        centred = CENTRED[int(best["point"].iloc[0])]
        rows.append([split, f"student, {UNION} (centred: {centred})", found[UNION].percent(), ""])
        scores[split] = {"a specialist": alone, **{arm: found[arm] for arm in (*ARMS, LAYERS, UNION)}}
        special += specialists(split, classes, [Path(folder) for folder in best["folder"]])
    study.picture(picture(scores))
    study.show(
        f"Specialists into one student on digits, {len(study.seeds)} paired seeds, test accuracy over all classes in % [95 % interval]",
        ["specialists", "who", "accuracy", "masked union minus this, points"],
        rows,
        f"{'; '.join(said)}.",
        further=[
            Sheet(
                "Each specialist on its own classes, and the student of the masked union on the same samples among all ten classes",
                ["specialists", "classes", "specialist", "student", "difference, points"],
                special,
            )
        ],
    )


def layers(centred: str, strength: float) -> str:
    """Return the options of answers and layers: how logits are centred, and how much the layers count."""
    terms = f"[{{name:kd,temperature:4.0}},{{name:amalgamation,weight:{strength}}}]"
    return f"method.fusion.centred={centred} method.distiller.terms={terms}"


def specialists(split: str, classes: list[list[int]], folders: list[Path]) -> list[list[str]]:
    """Return a row for each specialist: it and the student on test samples of its classes."""
    accuracies = [[pair(folder, client, own) for folder in folders] for client, own in enumerate(classes)]
    return [
        [
            split,
            " ".join(map(str, own)),
            Interval.of([teacher for teacher, _ in pairs]).percent(),
            Interval.of([student for _, student in pairs]).percent(),
            Interval.of([student - teacher for teacher, student in pairs]).points(),
        ]
        for own, pairs in zip(classes, accuracies, strict=True)
    ]


def pair(folder: Path, client: int, classes: list[int]) -> tuple[float, float]:
    """Return the accuracy of a client's network, and of the student, on the test samples of some classes."""
    opened = RunFolder.open(folder)
    experiment = Experiment.from_config(opened.config())
    test = load(experiment).test
    own = test.take(torch.isin(test.targets, torch.tensor(classes)).nonzero().flatten())
    checkpoint = opened.load_checkpoint()
    assert checkpoint is not None
    kept = deserialise(checkpoint.clients[client]).array_records[MODEL].to_torch_state_dict()
    network = experiment.model.build(Signature.of(experiment.data))
    right = []
    for weights in (kept, weights_in(str(folder), key="folder")):
        network.load_state_dict(weights)
        right.append(float((predict(network, own.inputs).argmax(dim=-1) == own.targets).double().mean()))
    return right[0], right[1]


def picture(scores: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """Draw accuracy over all classes of a specialist and of each student, one panel for each split."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(scores), sharex=True)
    for axes, (split, found) in zip(panels, scores.items(), strict=True):
        bars(axes, found, ["grey", "C1", "C1", "black", "C2", "C0"])
        axes.tick_params(labelleft=axes is panels[0])
        axes.set_title(f"specialists: {split}")
        axes.set_xlabel("test accuracy over all classes, %")
    return figure


if __name__ == "__main__":
    main()
