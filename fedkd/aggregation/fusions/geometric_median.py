"""The point whose summed distance to the teachers' answers is least (RFA: Pillutla et al., 2022).

    z <- z + (1 - h / |g|)+ g / sum_k w_k / d_k,   g = sum_k w_k (x_k - z) / d_k,   d_k = |x_k - z|

x_k is the answer of teacher k to a sample and w_k its weight; the sums run over the answers that z does not stand on, and h is the weight of
those that it stands on. Without these it is Weiszfeld's step (1937). It ends where nothing pulls: |g| <= h.

Sources: Pillutla, Kakade & Harchaoui, "Robust Aggregation for Federated Learning" (IEEE TSP 2022), there on weights of networks; Vardi & Zhang, "The
Multivariate L1-Median and Associated Data Depth" (PNAS 97, 2000), the step from a point on an answer.
Differs from the paper: RFA begins at the mean and makes few steps, with distances smoothed. A mean goes as far as one liar wants, and steps from there take
as long as the way is; the median of each number, where it begins here, is near what most say.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions._robust import BELOW_HALF, RobustFusion, weighted_median
from fedkd.foundation.options import Count, Positive

_BALANCED = 1e-6
"""Pulls below this, of at most 1, are none: the next step would be shorter than this share of the (harmonic) mean distance."""


@dataclass(frozen=True, kw_only=True)
class GeometricMedian(RobustFusion):
    """`argmin_z sum_k w_k |z - x_k|` of the teachers' answers x_k, sample by sample."""

    iterations: Count = 100
    """Most steps; fewer are made where nothing moves any more. Each brings the sum down, so that few of them withstand liars too."""

    smoothing: Positive = 1e-6
    """A point that is nearer to a teacher's answer than this stands on it."""

    @property
    def breakdown(self) -> float:
        """Anything below one half."""
        return BELOW_HALF

    def centre(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return where the iterations end that begin at the median of each coordinate."""
        centre, least = weighted_median(points, weights), torch.finfo(points.dtype).tiny
        for _ in range(self.iterations):
            away = points - centre
            distances = torch.linalg.vector_norm(away, dim=-1)
            apart = distances >= self.smoothing
            shares = torch.where(apart, weights / distances.clamp_min(self.smoothing), 0.0)
            pull = torch.einsum("kn,kno->no", shares, away)
            strength = torch.linalg.vector_norm(pull, dim=-1)
            left = (strength - torch.where(apart, 0.0, weights).sum(dim=0)).clamp_min(0.0)
            if bool((left <= _BALANCED).all()):
                break
            length = left / strength.clamp_min(least) / shares.sum(dim=0).clamp_min(least)
            centre = centre + length[:, None] * pull
        return centre
