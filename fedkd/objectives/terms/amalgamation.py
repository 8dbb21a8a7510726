"""Amalgamated layers: Shen et al., "Amalgamating Knowledge towards Comprehensive Classification" (AAAI 2019); `fedkd.losses.Amalgamation`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import NonNegative
from fedkd.objectives.terms._teachers import teachers_in
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class Amalgamation(FeatureTerm):
    """The student's layer is led to a code of all teachers' layers at once, from which each of theirs can be rebuilt; all of it is learned."""

    rebuilding: NonNegative = 1.0
    """Weight of the error with which the teachers' layers are rebuilt from their code."""

    plain: ClassVar[bool] = False
    together: ClassVar[bool] = True

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return what makes the code of the teachers' layers, and leads the student's there."""
        names = teachers_in(shapes.teacher, self.teacher_layer, term=self.name())
        return losses.Amalgamation(
            shapes.student[self.student_layer],
            [shapes.teacher[name] for name in names],
            rebuilding=self.rebuilding,
        )

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return how far the student is from the code, and the teachers are from what is rebuilt of it."""
        assert isinstance(learned, losses.Amalgamation)
        layers = lesson.teacher_layers
        names = teachers_in(layers, self.teacher_layer, term=self.name())
        return learned(lesson.student_layers[self.student_layer], [layers[name] for name in names])  # type: ignore[no-any-return]
