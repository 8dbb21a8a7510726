"""Graph contrastive representation distillation; `fedkd.losses.GCRD`.

Joshi, Liu, Xun, Lin & Foo, "On Representation Knowledge Distillation for Graph Neural Networks" (IEEE TNNLS 2022).
Differs from the authors' code: nodes are told from those of their batch; the code draws up to 16,384 of the graph's for each step.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, Positive
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class GCRD(FeatureTerm):
    """Tells the teacher's embedding of each node from those of the other nodes of the batch, in a space that is learned.

    With s_i and t_i the features of node i in student and teacher, each behind a head of its own and at length 1:

        L = mean_i -log [ exp(s_i . t_i / T) / sum_j exp(s_i . t_j / T) ]

    A batch should hold most of the graph. Of two samples of other data the same is said as of two nodes.
    """

    width: Count = 256
    """Width of the space in which both are compared."""

    temperature: Positive = 0.075
    """T, of the similarities."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the heads."""
        return losses.GCRD(*self.shapes(shapes), width=self.width, temperature=self.temperature)

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean contrast."""
        assert isinstance(learned, losses.GCRD)
        return learned(*self.layers(lesson))  # type: ignore[no-any-return]
