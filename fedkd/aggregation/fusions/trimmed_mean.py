"""The mean without the smallest and the largest values, class by class (Yin et al., 2018).

Source: "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates" (ICML 2018), definition 2. With weights, a
share `trim` of the weight goes at each end; a teacher on the edge counts with what is left of its weight.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from fedkd.aggregation.fusions._robust import RobustFusion, sorted_weights


@dataclass(frozen=True, kw_only=True)
class TrimmedMean(RobustFusion):
    """Mean of each coordinate over the teachers, after a share of them is cut off at each end."""

    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.2
    """Share that is cut off at each end; 0 is the mean."""

    @property
    def breakdown(self) -> float:
        """The share that is cut off."""
        return self.trim

    def centre(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the mean of what lies between the two cuts."""
        values, reached = sorted_weights(points, weights)
        before = torch.cat([torch.zeros_like(reached[:1]), reached[:-1]])
        kept = reached.clamp(self.trim, 1.0 - self.trim) - before.clamp(self.trim, 1.0 - self.trim)
        return (kept * values).sum(dim=0) / (1.0 - 2.0 * self.trim)
