"""Probabilistic knowledge transfer: Passalis & Tefas (ECCV 2018); `fedkd.losses.pkt`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class PKT(RelationTerm):
    """How likely each sample takes each other for a neighbour."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        return losses.pkt(*self.layers(lesson))
