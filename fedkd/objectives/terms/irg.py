"""Instance relationship graph; `fedkd.losses.irg`.

Liu et al., "Knowledge Distillation via Instance Relationship Graph" (CVPR 2019).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import NonNegative
from fedkd.objectives.terms.base import FUSED, Lesson, Term


@dataclass(frozen=True, kw_only=True)
class IRG(Term):
    """Outputs, distances between samples in some layers, and steps of samples from layer to layer."""

    student_layers: tuple[str, ...] = ("features",)
    """Layers of the student, from the input on."""

    teacher_layers: tuple[str, ...] = (FUSED,)
    """As many layers of the teachers; `fused` is what they say together."""

    vertices: NonNegative = 0.1
    """Weight of the outputs."""

    edges: NonNegative = 5.0
    """Weight of the distances between samples."""

    transitions: NonNegative = 5.0
    """Weight of the steps between layers of one width."""

    @property
    def of_student(self) -> tuple[str, ...]:
        """All layers of the student."""
        return self.student_layers

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """All layers of the teachers."""
        return self.teacher_layers

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the sum of the three parts."""
        del learned
        return losses.irg(
            lesson.student.flatten(1),
            lesson.teacher.flatten(1),
            [lesson.student_layers[name] for name in self.student_layers],
            [lesson.of_teacher(name) for name in self.teacher_layers],
            vertices=self.vertices,
            edges=self.edges,
            transitions=self.transitions,
        )
