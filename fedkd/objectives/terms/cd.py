"""Collaborative distillation (`fedkd.losses.cd`).

    L_CD = - sum over drawn items i of q_i log sigmoid(s_i) + (1 - q_i) log(1 - sigmoid(s_i)),   q_i = sigmoid((t_i + b) / T)

s are the student's scores, t the teachers' log-probabilities. Items are drawn anew for every batch, with a chance that falls with their rank, by
e^(-rank / decay): in the ranking of the student, as it is, or of the teachers.

Source: Lee, Choi, Lee & Shim, "Collaborative Distillation for Top-N Recommendation" (ICDM 2019). Outputs are taken for scores of items, samples for
users. Items that a user knows are scored below all others by the networks themselves, and teach nothing where they are drawn.

Differs from the paper: log-probabilities stand for the teacher's scores, since networks that learn by a softmax leave the level of their scores
open; the item that came next may be drawn; no item is drawn twice.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, Finite, Positive
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class CD(Term):
    """Gives each of some items the chance that the teachers give it, apart from all others; items are drawn anew for every batch."""

    items: Count = 3
    """Items that are drawn for each user."""

    guide: Literal["student", "teacher"] = "student"
    """Whose ranking they are drawn from."""

    decay: Positive = 10.0
    """How far down they are drawn: over so many places their chance falls to 1/e."""

    temperature: Positive = 1.0
    """Softens the teachers' probabilities (T)."""

    bias: Finite = 0.0
    """Is added to the teachers' log-probabilities (b): at one of `-bias` an item has an even chance."""

    plain: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the users."""
        del learned
        student, teacher = lesson.responses
        said = F.log_softmax(teacher, dim=-1)
        drawn = losses.cd_items(
            student if self.guide == "student" else said,
            count=self.items,
            decay=self.decay,
            generator=lesson.drawing(),
        )
        return losses.cd(
            student.gather(1, drawn), said.gather(1, drawn), temperature=self.temperature, bias=self.bias
        )
