"""Teacher-bounded regression: `fedkd.losses.bounded_regression`, with s, t and y what student, teachers and truth say of a sample.

    L = Huber(s - y) + nu |s - y|^2 [|s - y|^2 + m > |t - y|^2]

Source: Chen, Choi, Yu, Han & Chandraker, "Learning Efficient Object Detection Models with Knowledge Distillation" (NeurIPS 2017), equations 4
and 5.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import NonNegative
from fedkd.objectives.terms.base import Lesson, TrueNumberTerm


@dataclass(frozen=True, kw_only=True)
class BoundedRegression(TrueNumberTerm):
    """Learns true numbers, and harder as long as the teachers know them better."""

    nu: NonNegative = 0.5
    """Weight of the squared error while the student is worse than the teachers."""

    margin: NonNegative = 0.0
    """By how much its squared error must be smaller to be better."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        student, teacher = lesson.numbers()
        return losses.bounded_regression(
            student, teacher, lesson.labels("proxy"), nu=self.nu, margin=self.margin
        )
