"""Neuron selectivity transfer: Huang & Wang (2017); `fedkd.losses.nst`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import FeatureTerm, Lesson


@dataclass(frozen=True, kw_only=True)
class NST(FeatureTerm):
    """Discrepancy between what channels are selective for; layers must be convolutional, of any number of channels."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean discrepancy."""
        del learned
        return losses.nst(*self.layers(lesson))
