"""The median of each class's probability over the teachers (Yin et al., 2018).

Source: "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates" (ICML 2018), definition 1, whose
coordinate-wise median of gradients is here one of answers, as in Cronus (Chang et al., 2019).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions._robust import BELOW_HALF, RobustFusion, weighted_median


@dataclass(frozen=True, kw_only=True)
class Median(RobustFusion):
    """The weighted median of each coordinate; fewer than half of the teachers cannot move it beyond what the others say.

    A class that most teachers have never seen has a median near 0, whatever the others say: where clients differ in their classes the
    mean is better.
    """

    @property
    def breakdown(self) -> float:
        """Anything below one half."""
        return BELOW_HALF

    def centre(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the median of each coordinate."""
        return weighted_median(points, weights)
