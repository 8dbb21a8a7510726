"""Attentive imitation: Saputra et al. (ICCV 2019); `fedkd.losses.attentive_imitation`, with the teacher's errors of the batch."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class AttentiveImitation(Term):
    """Learns true numbers, and what the teachers say as far as they are right."""

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the true numbers."""

    needs_numbers: ClassVar[bool] = True

    @property
    def needs_targets(self) -> bool:
        """True numbers are learned."""
        return True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        student, teacher = lesson.numbers()
        return losses.attentive_imitation(student, teacher, lesson.labels("proxy"), alpha=self.alpha)
