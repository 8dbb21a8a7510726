"""The divergence of the task: `T^2 KL` for classes (Hinton et al., 2015), squared error for numbers, or errors of raw outputs."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.options import Positive
from fedkd.objectives.terms.base import Lesson, Term
from fedkd.tasks import Divergence as Measure


@dataclass(frozen=True, kw_only=True)
class Divergence(Term):
    """How far the student is from what the teachers say, in the measure of the task: what a distiller without terms minimises."""

    measure: Measure = "task"
    """The task's own (KL for classes, squared error for numbers), `mae` or `mse` of the raw outputs, or their `cosine`."""

    temperature: Positive = 1.0
    """Softens teachers and student alike; the loss is multiplied by its square."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean divergence."""
        del learned
        return lesson.task.divergence(
            lesson.student, lesson.teacher, measure=self.measure, temperature=self.temperature
        ).mean()
