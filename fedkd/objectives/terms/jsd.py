"""Generalised Jensen-Shannon divergence: Agarwal et al. (ICLR 2024); `fedkd.losses.jsd`."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Positive
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class JSD(Term):
    """Divergence of teachers and student from their mixture."""

    beta: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The teachers' share in the mixture; at 0 it is KL(teacher || student), at 1 KL(student || teacher)."""

    temperature: Positive = 1.0
    """Softens teachers and student alike."""

    needs_classes: ClassVar[bool] = True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean divergence."""
        del learned
        return losses.jsd(*lesson.responses, beta=self.beta, temperature=self.temperature)
