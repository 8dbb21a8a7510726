"""FitNets' hint: Romero et al. (ICLR 2015); `fedkd.losses.hint`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.losses.features import Distance
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class Hint(FeatureTerm):
    """Distance between a regressor's image of the student's layer and the teachers' layer; the regressor is learned."""

    distance: Distance = "l2"
    """How far they are apart: squared error (the paper), `l1`, `huber`, or one minus the `cosine`."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the regressor."""
        return losses.Regressor(*self.shapes(shapes))

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean distance."""
        return losses.hint(*self.layers(lesson, learned), distance=self.distance)
