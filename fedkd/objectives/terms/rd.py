"""Ranking distillation (`fedkd.losses.rd`).

    L_RD = - sum_r w_r log sigmoid(s_r)        w_r = e^(-r / lambda) / sum_q e^(-q / lambda) * relu(tanh(mu (rank_r - r)))

s_r is the student's score of the item that the teachers rank r-th of the first K (their best item has r = 0), rank_r its place in the student's
own ranking, lambda the decay, mu the discrepancy.

Source: Tang & Wang, "Ranking Distillation: Learning Compact Ranking Models With High Performance for Recommender System" (KDD 2018), equations
7 to 10. Outputs are taken for scores of items, samples for users.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, Positive
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class RD(Term):
    """Raises the scores of the items that the teachers rank highest."""

    top: Count = 10
    """How many of the teachers' items count; all, where there are fewer."""

    decay: Positive = 1.0
    """How slowly the weight falls with the place."""

    discrepancy: Positive | None = 0.1
    """How quickly the weight grows with the gap between both ranks; none leaves ranks out."""

    needs_classes: ClassVar[bool] = True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the users."""
        del learned
        return losses.rd(*lesson.responses, top=self.top, decay=self.decay, discrepancy=self.discrepancy)
