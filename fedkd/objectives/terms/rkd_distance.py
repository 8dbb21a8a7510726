"""Relational distillation of distances: Park et al. (CVPR 2019); `fedkd.losses.rkd_distance`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class RKDDistance(RelationTerm):
    """How far samples are from each other, over the mean distance."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        return losses.rkd_distance(*self.layers(lesson))
