"""Correlation of adjacent samples, after Peng et al. (ICCV 2019); `fedkd.losses.cc`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, RelationTerm, Shapes


@dataclass(frozen=True, kw_only=True)
class CC(RelationTerm):
    """Products of the errors of samples that are next to each other in the batch; a regressor is learned where shapes differ."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the regressor, which is nothing where shapes agree."""
        return losses.Regressor(*self.shapes(shapes), always=False)

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the pairs."""
        return losses.cc(*self.layers(lesson, learned))
