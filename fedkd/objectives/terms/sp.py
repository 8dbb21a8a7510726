"""Similarity preserving: Tung & Mori (ICCV 2019); `fedkd.losses.sp`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class SP(RelationTerm):
    """Which samples are similar to each sample, by inner products."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        return losses.sp(*self.layers(lesson))
