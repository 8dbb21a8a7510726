"""Relaxed ranking distillation (`fedkd.losses.rrd`).

    L_RRD = - sum_k log( e^s_k / (sum_(j >= k) e^s_j + sum_l e^u_l) )

s_1, ..., s_K are the student's scores of items that are drawn from the top of the teachers' ranking, in the teachers' order, u_l those of items
drawn from below them.

Source: Kang, Hwang, Kweon & Yu, "DE-RRD: A Knowledge Distillation Framework for Recommender System" (CIKM 2020), equations 9 and 10. Outputs are
taken for scores of items, samples for users.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, Positive
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class RRD(Term):
    """Ranks some items as the teachers do, and above others whose order is free; items are drawn anew for every batch."""

    interesting: Count = 3
    """Items that are drawn from the top of the teachers' ranking."""

    uninteresting: Count = 4
    """Items that are drawn from below them."""

    temperature: Positive = 10.0
    """How far down interesting items are drawn: over so many places their chance falls to 1/e."""

    plain: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the users."""
        del learned
        student, teacher = lesson.responses
        high, low = losses.rrd_items(
            teacher,
            interesting=self.interesting,
            uninteresting=self.uninteresting,
            temperature=self.temperature,
            generator=lesson.drawing(),
        )
        return losses.rrd(student.gather(1, high), student.gather(1, low))
