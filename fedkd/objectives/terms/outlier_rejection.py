"""Teacher outlier rejection: `fedkd.losses.outlier_rejection`, with s, t and y what student, teachers and label say of a sample.

    L = |s - y|^2 [|t - y| <= c r],   r = 1.4826 median |t - y|

c is `deviations`, r is taken over the batch. Differs from the paper: a fixed multiple of the robust deviation in place of a bound that depends on
the number of samples, and no second output that learns what the teacher says (add `divergence`).

Source: Takamoto, Morishita & Imaoka, "An
Efficient Method of Training Small Models for Regression Problems with Knowledge Distillation" (MIPR 2020).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Positive
from fedkd.objectives.terms.base import Lesson, TrueNumberTerm


@dataclass(frozen=True, kw_only=True)
class OutlierRejection(TrueNumberTerm):
    """Learns true numbers, but for those that are far from what the teachers say."""

    deviations: Positive = 3.0
    """How far a number may be from the teachers', in robust standard deviations of their distance over the batch."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        student, teacher = lesson.numbers()
        return losses.outlier_rejection(student, teacher, lesson.labels("proxy"), deviations=self.deviations)
