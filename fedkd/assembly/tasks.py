"""Which parts of a method work on the task of the data."""

from typing import TYPE_CHECKING

from fedkd.foundation.errors import IllegalCombination
from fedkd.tasks import TASKS

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment

_ON_EVERY_TASK = {
    "strategy": "methods fedavg, fedprox, fedmd, feddf, local and pooled work on every task",
    "client": "the clients of fedavg, fedprox, fedmd, feddf, local and pooled work on every task",
    "knowledge": "take method.knowledge=logits",
    "fusion": "take method.fusion=mean_logits",
    "weighting": "take method.weighting=uniform",
}
"""What can stand in a slot whatever the task, in the order in which slots are looked at: a weighting may be there for a fusion's sake."""


def check_task(experiment: "Experiment") -> None:
    """Refuse parts of the method that do not work on the task of the data.

    Raises:
        IllegalCombination: with a way out.
    """
    method, kind = experiment.method, experiment.data.task
    data, task = experiment.resolved["data"]["name"], TASKS[kind]
    parts = {slot: part for slot in _ON_EVERY_TASK if (part := getattr(method, slot)) is not None}
    for slot, part in parts.items():
        by_class = part.by_class or (slot == "weighting" and "labels" in part.needs)
        if (part.needs_classes and not task.probabilistic) or (
            by_class and not experiment.data.targets.one_class
        ):
            about = "samples of one class" if task.probabilistic else "classes"
            raise IllegalCombination(
                f"method.{slot}={experiment.named(slot)} is about {about}, data={data} is a {kind}; {_ON_EVERY_TASK[slot]}"
            )
    if method.weighting.compares_classes and task.pads:
        raise IllegalCombination(
            f"method.weighting={experiment.named('weighting')} compares the scores of all classes, and heads of data={data} have "
            "unequally many; take method.weighting=entropy"
        )
    fusion = f"method.fusion={experiment.named('fusion')}" if method.fusion is not None else ""
    if method.fusion is not None and method.fusion.needs_embeddings and not task.embeds:
        raise IllegalCombination(
            f"{fusion} is about embeddings, which networks give in recognition, and data={data} is a {kind}; "
            "take method.fusion=mean_logits, or data=orl_faces"
        )
    if method.fusion is not None and method.fusion.needs_gaussians and not task.gaussian:
        raise IllegalCombination(
            f"{fusion} is about normal distributions, data={data} is a {kind}; "
            "take data.predicts=gaussian with a set of numbers, or method.fusion=mean_logits"
        )
