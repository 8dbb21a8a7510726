"""Knowledge distillation: Hinton, Vinyals & Dean (2015); `fedkd.losses.kd`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Positive
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class KD(Term):
    """KL divergence of softened answers, times the temperature's square."""

    temperature: Positive = 4.0
    """Softens teachers and student alike."""

    needs_classes: ClassVar[bool] = True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean divergence."""
        del learned
        return losses.kd(*lesson.responses, temperature=self.temperature)
