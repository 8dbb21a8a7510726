"""Decoupled knowledge distillation: Zhao et al. (CVPR 2022); `fedkd.losses.dkd`.

The paper's target classes are the true ones. A proxy set has none in general, so the teachers' serve by default.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import NonNegative, Positive
from fedkd.objectives.terms.base import Labels, Lesson, Term


@dataclass(frozen=True, kw_only=True)
class DKD(Term):
    """Divergence of the target class and of the other classes, each with a weight of its own."""

    alpha: NonNegative = 1.0
    """Weight of the target class."""

    beta: NonNegative = 8.0
    """Weight of the other classes."""

    temperature: Positive = 4.0
    """Softens teachers and student alike."""

    labels: Labels = "teacher"
    """Whose class is the target: the one that the `teacher` names, or the true one of a labelled `proxy` set."""

    needs_classes: ClassVar[bool] = True

    @property
    def needs_targets(self) -> bool:
        """Whether target classes are the true ones."""
        return self.labels == "proxy"

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean of both parts."""
        del learned
        return losses.dkd(
            *lesson.responses,
            lesson.task.rows(lesson.labels(self.labels)),
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.temperature,
        )
