"""Enhancement by tasks: specialists of one task each make one student with a head for each, within a point of every specialist, without labels.

Knowledge amalgamation of tasks: Ye et al., "Student Becoming the Master: Knowledge Amalgamation for Joint Scene Parsing, Depth Estimation, and
More" (CVPR 2019); Ghiasi et al., "Multi-Task Self-Training for Learning General Representations" (ICCV 2021). Cut, colour and clarity of
diamonds, all networks of one size; seeds paired. The student sees the specialists' samples, or others that none of them saw. Heads that a specialist
never learned are masked. Controls: a mean that counts them as answers, and the same student on the true labels of all tasks. Each student's learning
rate is chosen on validation data.

Within a point: the 95 % interval of student minus specialist ends above -1 point of test accuracy in every task.
"""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from fedkd.assembly.build import load
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.trained import weights_in
from fedkd.data.datasets.diamonds_grades import DiamondsGrades
from fedkd.engine.beginning import MODEL
from fedkd.foundation.run_folder import RunFolder
from fedkd.models.base import Signature, predict
from fedkd.runtime.flower_internals import deserialise
from fedkd.tasks import Classification
from simulations.study import Interval, Sheet, Study, choose, seeds_from_command_line

TASKS = list(DiamondsGrades.heads)
# The samples that the student learns on: those that the specialists learned on, or others of the pool.
SAMPLES = {
    "the specialists'": ["data.samples=8000"],
    "unseen": [
        "data.samples=12000", "proxy=heldout", "proxy.size=4000", "proxy.labelled=false", "method.distiller.fit.epochs=40",
    ],
}  # fmt: skip
MASKED, PLAIN, LABELS = "masked", "mean without masks", "true labels"
ARMS = {
    MASKED: [],
    PLAIN: ["method.weighting=uniform"],
    LABELS: ["proxy.labelled=true", "method.distiller.label_weight=1"],
}
GRID = [f"method.distiller.fit.optimizer.lr={lr}" for lr in (0.002, 0.005)]
COMMON = ["method=enhancement_tasks", "runtime=inline", "threads=1"]
CHOICE, TOLERANCE = "student/validation/accuracy", 0.01
Measured = dict[str, dict[str, list[dict[str, float]]]]
"""Task -> who -> its metrics for each seed."""
Scores = dict[str, dict[str, list[float]]]
"""Task -> who -> a value for each seed."""


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("enhancement_tasks", seeds_from_command_line(__doc__))
    right, nats, said, pictured = [], [], [], {}
    for samples, own in SAMPLES.items():
        arms = {f"{arm}, {samples}": [*own, *changes] for arm, changes in ARMS.items()}
        runs = study.run(arms, common=COMMON, grid=GRID)
        folders = {
            arm: [Path(one) for one in choose(runs, f"{arm}, {samples}", CHOICE)["folder"]] for arm in ARMS
        }
        everyone = measured(folders)
        accuracy, loss, chance = (picked(everyone, metric) for metric in ("accuracy", "loss", "chance"))
        right += [
            accuracy_row(samples, task, found, Interval.of(chance[task]["specialist"]))
            for task, found in accuracy.items()
        ]
        nats += [loss_row(samples, task, found) for task, found in loss.items()]
        said.append(f"on samples that are {samples}: {verdict(accuracy)}")
        pictured[samples] = accuracy
    study.picture(picture(pictured))
    study.show(
        f"Three specialists into one student on diamonds, {len(study.seeds)} paired seeds, test accuracy in % and differences in points [95 % interval]",
        ["the student's samples", "task", "most frequent class", "specialist", "student, masked", "minus the specialist", "minus the mean without masks", "minus true labels"],
        right,
        f"Masked student: {'; '.join(said)}.",
        further=[
            Sheet(
                "The same, cross-entropy in nats (less is better)",
                ["the student's samples", "task", "specialist", "student, masked", "minus the specialist", "minus the mean without masks", "minus true labels"],
                nats,
            )
        ],
    )  # fmt: skip


def measured(folders: Mapping[str, list[Path]]) -> Measured:
    """Return what each student, and each task's specialist, is worth on the test data."""
    found: Measured = {task: {"specialist": [], **{arm: [] for arm in folders}} for task in TASKS}
    for arm, each in folders.items():
        for folder in each:
            for task, worth in tasks_of(folder, weights_in(str(folder), key="folder")).items():
                found[task][arm].append(worth)
            if arm != MASKED:
                continue
            for client, task in enumerate(TASKS):
                found[task]["specialist"].append(tasks_of(folder, kept_by(folder, client))[task])
    return found


def picked(found: Measured, metric: str) -> Scores:
    """Return one metric of what was measured."""
    return {
        task: {who: [worth[metric] for worth in each] for who, each in everyone.items()}
        for task, everyone in found.items()
    }


def tasks_of(folder: Path, weights: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
    """Return what a network of a run is worth in each task: the metrics of a classification, and the accuracy of chance."""
    experiment = Experiment.from_config(RunFolder.open(folder).config())
    test = load(experiment).test
    network = experiment.model.build(Signature.of(experiment.data))
    network.load_state_dict(dict(weights))
    outputs, task = predict(network, test.inputs), Classification()
    return {
        head: {
            **task.metrics(outputs[:, place, : len(classes)], test.targets[:, place]),
            "chance": task.chance(test.targets[:, place]),
        }
        for place, (head, classes) in enumerate(experiment.data.heads.items())
    }


def kept_by(folder: Path, client: int) -> Mapping[str, Tensor]:
    """Return the weights of a client's network."""
    checkpoint = RunFolder.open(folder).load_checkpoint()
    assert checkpoint is not None
    state: Mapping[str, Tensor] = (
        deserialise(checkpoint.clients[client]).array_records[MODEL].to_torch_state_dict()
    )
    return state


def verdict(accuracy: Scores) -> str:
    """Return in which tasks the student is within a point of the specialist, and in which that is not settled, or not so."""
    gaps = {task: minus(found, MASKED, "specialist") for task, found in accuracy.items()}
    kinds = {
        "within a point of the specialist": [task for task, gap in gaps.items() if gap.low > -TOLERANCE],
        "not settled": [task for task, gap in gaps.items() if gap.low <= -TOLERANCE <= gap.high],
        "further below it": [task for task, gap in gaps.items() if gap.high < -TOLERANCE],
    }
    return ", ".join(f"{kind} in {' and '.join(tasks)}" for kind, tasks in kinds.items() if tasks)


def minus(found: Mapping[str, list[float]], one: str, other: str) -> Interval:
    """Return the difference between two of those who were measured, seed by seed."""
    return Interval.of([mine - theirs for mine, theirs in zip(found[one], found[other], strict=True)])


def accuracy_row(samples: str, task: str, found: Mapping[str, list[float]], chance: Interval) -> list[str]:
    """Return a row in percent and points."""
    shares = [Interval.of(found[who]).percent() for who in ("specialist", MASKED)]
    gaps = [minus(found, MASKED, other).points() for other in ("specialist", PLAIN, LABELS)]
    return [samples, task, f"{100 * chance.mean:.1f}", *shares, *gaps]


def loss_row(samples: str, task: str, found: Mapping[str, list[float]]) -> list[str]:
    """Return a row in nats."""
    losses = [Interval.of(found[who]) for who in ("specialist", MASKED)]
    gaps = [minus(found, MASKED, other) for other in ("specialist", PLAIN, LABELS)]
    return [
        samples,
        task,
        *(f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in losses),
        *(f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for one in gaps),
    ]


def picture(found: Mapping[str, Scores]) -> Figure:
    """Draw each student's accuracy minus the specialist's, task by task; the dashed line is the tolerance."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True, sharex=True)
    for axes, (samples, tasks) in zip(panels, found.items(), strict=True):
        for shift, (arm, color) in enumerate(zip(ARMS, ("C0", "C1", "black"), strict=True)):
            gaps = [minus(each, arm, "specialist") for each in tasks.values()]
            spread = [[gap.mean - gap.low for gap in gaps], [gap.high - gap.mean for gap in gaps]]
            axes.errorbar(
                [100 * gap.mean for gap in gaps],
                [place + 0.2 * (shift - 1) for place in range(len(tasks))],
                xerr=[[100 * one for one in side] for side in spread],
                fmt="o",
                capsize=3,
                color=color,
                label=arm,
            )
        axes.axvline(0, color="grey", linewidth=1)
        axes.axvline(-100 * TOLERANCE, color="grey", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(tasks)), list(tasks))
        axes.set_title(f"the student's samples: {samples}", fontsize=10)
        axes.grid(visible=True, axis="x", alpha=0.3)
    panels[0].invert_yaxis()
    panels[0].legend(title="student", fontsize=8, loc="lower left")
    figure.supxlabel("test accuracy minus that of the task's specialist, points", fontsize=10)
    return figure


if __name__ == "__main__":
    main()
