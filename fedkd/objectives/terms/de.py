"""Distillation experts (`fedkd.losses.Experts`).

    L_DE = |sum_m g_m E_m(h_S) - h_T|^2        g = softmax((log softmax(C(h_T)) + G) / tau)

h_S and h_T are layers of student and teachers, E_m the experts, C what chooses among them, G noise of Gumbel's distribution, and tau the temperature,
which falls during the training until one expert works alone.

Source: Kang, Hwang, Kweon & Yu, "DE-RRD: A Knowledge Distillation Framework for Recommender System" (CIKM 2020), equations 1 to 4.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, Positive
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class DE(FeatureTerm):
    """Rebuilds the teachers' layer from the student's by one of several experts, drawn for each sample by the teachers' layer; all are learned."""

    experts: Count = 10
    """How many experts there are."""

    begin: Positive = 1.0
    """Temperature of the choice at the beginning, at which several experts work together."""

    end: Positive = 0.01
    """Temperature at the end, at which one of them works alone."""

    batches: Count = 1000
    """Batches after which the temperature has fallen."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the experts with what chooses among them."""
        student, teacher = self.shapes(shapes)
        return losses.Experts(
            student[0],
            teacher[0],
            count=self.experts,
            temperature=(self.begin, self.end),
            batches=self.batches,
        )

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean squared length of what is missing."""
        assert isinstance(learned, losses.Experts)
        return learned(*self.layers(lesson), generator=lesson.drawing())  # type: ignore[no-any-return]
