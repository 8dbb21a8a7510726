"""Attentive imitation: `fedkd.losses.attentive_imitation`, with s, t and y what student, teachers and truth say of a sample.

    L = a |s - y|^2 + (1 - a) phi |s - t|^2,   phi = max(0, 1 - |t - y|^2 / eta)

eta is the largest less the smallest squared error of the teachers; not here: over the training set, as in the paper, but over the batch. Source:
Saputra, Gusmao, Almalioglu, Markham & Trigoni, "Distilling Knowledge From a Deep Pose Regressor Network" (ICCV 2019), equations 7 to 9.
"""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, TrueNumberTerm


@dataclass(frozen=True, kw_only=True)
class AttentiveImitation(TrueNumberTerm):
    """Learns true numbers, and what the teachers say as far as they are right."""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the true numbers."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        student, teacher = lesson.numbers()
        return losses.attentive_imitation(student, teacher, lesson.labels("proxy"), alpha=self.alpha)
