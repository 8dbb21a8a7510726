"""What the targets of a data set are, by its task. Everything that asks this asks here, and never a task by its name.

>>> TARGETS["generation"].are, TARGETS["recognition"].sort
('symbols', True)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fedkd.foundation.errors import InvalidOption, nearest

Task = Literal[
    "classification",
    "multitask_classification",
    "recognition",
    "regression",
    "gaussian_regression",
    "generation",
    "ranking",
]
"""What a target is; in a `gaussian_regression` it is a number too, and networks say a mean and a log variance of it."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """One kind of targets.

    Args:
        are: what they are, for messages: "data=grammar has symbols".
        one_class: whether there is one for each sample, one of the classes that networks tell apart.
        sort: whether samples can be sorted and counted by them: one class or identity for each.
        numbers: whether they are numbers, NaN where unknown; else they count from 0, -1 where unknown.
        of_heads: whether there is one for each head.
        of_places: whether there is one for each place of what a network reads.
        outputs: how many outputs of a network speak about one number.
    """

    are: str
    one_class: bool = False
    sort: bool = False
    numbers: bool = False
    of_heads: bool = False
    of_places: bool = False
    outputs: int = 1


TARGETS: Mapping[Task, Targets] = {
    "classification": Targets(are="classes", one_class=True, sort=True),
    "multitask_classification": Targets(are="classes of several heads", of_heads=True),
    "recognition": Targets(are="identities", sort=True),
    "regression": Targets(are="numbers", numbers=True),
    "gaussian_regression": Targets(are="numbers", numbers=True, outputs=2),
    "generation": Targets(are="symbols", of_places=True),
    "ranking": Targets(are="items"),
}
"""The targets of each task."""


def targets_of(task: Task) -> Targets:
    """Return the targets of a task.

    Raises:
        InvalidOption: a data set of somebody's own states a task that there is not.
    """
    if task not in TARGETS:
        raise InvalidOption(
            "the data set's `task`", task, f"one of {', '.join(TARGETS)}", nearest(task, TARGETS)
        )
    return TARGETS[task]
