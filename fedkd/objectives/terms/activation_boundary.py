"""Activation boundaries: Heo et al. (AAAI 2019); `fedkd.losses.activation_boundary`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import NonNegative, Positive
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class ActivationBoundary(FeatureTerm):
    """Makes neurons active where the teachers' are; layers are those *before* the non-linearity. A regressor is learned where needed."""

    margin: NonNegative = 1.0
    """How far beyond the boundary counts as enough."""

    scale: Positive = 3e-3
    """Factor of the sum over neurons: 0.003 as in the authors' code, 1 as in the paper."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the regressor, which is nothing where shapes agree."""
        return losses.Regressor(*self.shapes(shapes), always=False)

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean hinge."""
        return losses.activation_boundary(*self.layers(lesson, learned), margin=self.margin, scale=self.scale)
