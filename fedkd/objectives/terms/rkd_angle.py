"""Relational distillation of angles: Park et al. (CVPR 2019); `fedkd.losses.rkd_angle`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class RKDAngle(RelationTerm):
    """At which angle each sample sees every two others; its memory grows with the third power of the batch."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        return losses.rkd_angle(*self.layers(lesson))
