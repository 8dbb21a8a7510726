"""The task's own loss on labels: cross-entropy for classes, squared error for numbers."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd.objectives.terms.base import Labels, Lesson, Term


@dataclass(frozen=True, kw_only=True)
class Supervised(Term):
    """The loss on labels: the true ones of the proxy set, or those that the teachers name (hard pseudo-labels)."""

    labels: Labels = "teacher"
    """Whose labels: those that the `teacher` names, or the true ones of a labelled `proxy` set."""

    @property
    def needs_targets(self) -> bool:
        """Whether the labels are the true ones."""
        return self.labels == "proxy"

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean loss on the labels."""
        del learned
        return lesson.task.supervised(lesson.student, lesson.labels(self.labels)).mean()
