"""The robust mean of Cronus (Chang et al., 2019): teachers far out along the main direction of disagreement lose weight.

Chang et al., "Cronus: Robust and Heterogeneous Collaborative Learning with Black-Box Knowledge Transfer" (2019) takes the estimator of
Diakonikolas et al., "Being Robust (in High Dimensions) Can Be Practical" (ICML 2017): as long as there are outliers, find the
direction in which the answers vary most, and remove those that are far from the mean in it. Here, sample by sample,

    m = sum_k w_k y_k,   v the first eigenvector of sum_k w_k (y_k - m) (y_k - m)^T
    t_k = (v . (y_k - m))^2,   w_k <- w_k (1 - t_k / max_j t_j)

Differs from the paper: points are not removed by a random threshold but lose weight in proportion (Diakonikolas & Kane, "Recent
Advances in Algorithmic High-Dimensional Robust Statistics", 2019, section 2.4.3), so that the result is the same each time; and as the
variance of honest answers is not known, it goes on until twice the share `outliers` of the weight is gone: for what corrupt teachers
lose, honest ones lose at most as much.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from fedkd.aggregation.fusions._robust import ROUNDING, RobustFusion, weighted_mean

AT_ONCE = 2**22
"""Numbers of covariance matrices that are held at once."""


@dataclass(frozen=True, kw_only=True)
class Cronus(RobustFusion):
    """Mean of the teachers' answers after a filter along the direction of the largest variance, sample by sample."""

    outliers: Annotated[float, Field(ge=0, lt=0.5)] = 0.2
    """Share of the teachers that may be corrupt; 0 is the mean."""

    @property
    def breakdown(self) -> float:
        """The share of outliers that is expected."""
        return self.outliers

    def centre(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the mean of what the filter leaves."""
        together = max(AT_ONCE // points.shape[-1] ** 2, 1)
        parts = zip(torch.split(points, together, dim=1), torch.split(weights, together, dim=1), strict=True)
        return torch.cat([weighted_mean(some, self._filter(some, shares)) for some, shares in parts])

    def _filter(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "teachers n"]:
        """Return the weights that are left."""
        goal = (1.0 - 2.0 * self.outliers) * weights.sum(dim=0)
        negligible = ROUNDING**2 * points.square().sum(dim=-1).amax(dim=0)
        for _ in range(len(points) - 1):
            apart = points - weighted_mean(points, weights)
            covariance = torch.einsum("kn,kni,knj->nij", weights, apart, apart)
            direction = torch.linalg.eigh(covariance).eigenvectors[..., -1]
            along = torch.einsum("kni,ni->kn", apart, direction).square() * (weights > 0)
            farthest, spare = along.amax(dim=0), weights.sum(dim=0) - goal
            goes_on = (spare > ROUNDING) & (farthest > negligible)
            if not bool(goes_on.any()):
                break
            loss = weights * along / farthest.clamp_min(torch.finfo(along.dtype).tiny)
            # The last step takes no more than what may still go.
            loss *= (spare / loss.sum(dim=0).clamp_min(torch.finfo(along.dtype).tiny)).clamp_max(1.0)
            weights = torch.where(goes_on, weights - loss, weights)
        return weights.clamp_min(0.0)
