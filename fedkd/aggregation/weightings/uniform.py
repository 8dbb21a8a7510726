"""Every teacher counts the same."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.weightings.base import LoneWeighting


@dataclass(frozen=True, kw_only=True)
class Uniform(LoneWeighting):
    """1/K for each of K teachers."""

    def alone(self, outputs: Float[Tensor, "n outputs"], size: float) -> Float[Tensor, " n"]:
        """Return 1 everywhere."""
        del size
        return outputs.new_ones(outputs.shape[:1])
