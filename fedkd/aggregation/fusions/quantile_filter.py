"""The mean of the teachers that are near the median; those beyond a quantile of the distances are left out.

A filter in the manner of the outlier rejection of Takamoto et al., "An Efficient Method of Training Small Models for
Regression Problems with Knowledge Distillation" (2020), there of a single teacher against the label: here teachers are
held against the coordinate-wise median of all, which fewer than half of them cannot move far.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from fedkd.aggregation.fusions._robust import (
    BELOW_HALF,
    ROUNDING,
    RobustFusion,
    weighted_mean,
    weighted_median,
)


@dataclass(frozen=True, kw_only=True)
class QuantileFilter(RobustFusion):
    """Mean over the share `keep` of the teachers whose answers are nearest to the median, sample by sample."""

    keep: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Quantile of the distances beyond which teachers are left out; 1 is the mean."""

    @property
    def breakdown(self) -> float:
        """The share that is left out, if that is less than half."""
        return min(1.0 - self.keep, BELOW_HALF)

    def centre(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the mean of those that are near; the last one of them counts whole."""
        distances = torch.linalg.vector_norm(points - weighted_median(points, weights), dim=-1)
        order = distances.argsort(dim=0, stable=True)
        reached = weights.gather(0, order).cumsum(dim=0)
        before = torch.cat([torch.zeros_like(reached[:1]), reached[:-1]])
        limit = distances.gather(0, order).where(before < self.keep - ROUNDING, 0.0).amax(dim=0)
        return weighted_mean(points, weights * (distances <= limit * (1.0 + ROUNDING)))
