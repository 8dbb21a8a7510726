"""The point whose summed distance to the teachers' answers is least (Weiszfeld, 1937; RFA: Pillutla et al., 2022).

Source: "Robust Aggregation for Federated Learning" (IEEE TSP 2022), algorithm 2, smoothed Weiszfeld iterations, there on
weights of networks; here on the answers of each sample.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions._robust import BELOW_HALF, RobustFusion, weighted_mean
from fedkd.foundation.options import Count, Positive


@dataclass(frozen=True, kw_only=True)
class GeometricMedian(RobustFusion):
    """`argmin_z sum_k w_k |z - x_k|` of the teachers' answers x_k, sample by sample."""

    iterations: Count = 100
    """Most steps; fewer are made where nothing moves any more."""

    smoothing: Positive = 1e-6
    """Distances below this count as this, so that a point on a teacher's answer can leave it."""

    @property
    def breakdown(self) -> float:
        """Anything below one half."""
        return BELOW_HALF

    def centre(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return where the iterations end that begin at the mean."""
        centre = weighted_mean(points, weights)
        for _ in range(self.iterations):
            distances = torch.linalg.vector_norm(points - centre, dim=-1)
            before, centre = centre, weighted_mean(points, weights / distances.clamp_min(self.smoothing))
            if bool((centre - before).abs().max() < 0.01 * self.smoothing):
                break
        return centre
