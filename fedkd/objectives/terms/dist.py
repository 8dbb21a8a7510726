"""DIST: Huang et al., "Knowledge Distillation from A Stronger Teacher" (NeurIPS 2022); `fedkd.losses.dist`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import NonNegative, Positive
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class Dist(Term):
    """Correlation of probabilities over the classes of a sample, and over the samples of a class."""

    beta: NonNegative = 1.0
    """Weight of the relations between classes."""

    gamma: NonNegative = 1.0
    """Weight of the relations between samples."""

    temperature: Positive = 1.0
    """Softens teachers and student alike; the loss is multiplied by its square."""

    needs_classes: ClassVar[bool] = True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return what correlation lacks."""
        del learned
        return losses.dist(*lesson.responses, beta=self.beta, gamma=self.gamma, temperature=self.temperature)
