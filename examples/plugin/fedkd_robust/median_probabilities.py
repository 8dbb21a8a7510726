"""The median of the teachers' probabilities, class by class (after Yin et al., 2018).

Source: "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates" (ICML 2018), whose coordinate-wise
median of gradients is here one of answers. With weights it is the smallest value at which half of the weight is
reached; it is normalised, since medians need not sum to 1. A class that most teachers have never seen has a median
near 0, whatever the others say: under strong label skew the mean is better.
"""

from dataclasses import dataclass

from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion

HALF = 0.5 - 1e-6  # what equal weights sum to must not depend on rounding


@dataclass(frozen=True, kw_only=True)
class MedianProbabilities(Fusion):
    """Median of the teachers' probabilities; fewer than half of the teachers cannot move it beyond what the others say."""

    def fuse(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """Return the logarithm of the weighted median; the order of probabilities is that of their logarithms."""
        values, order = outputs.log_softmax(dim=-1).sort(dim=0)
        reached = weights[..., None].expand_as(values).gather(0, order).cumsum(dim=0) >= HALF
        return values.gather(0, reached.int().argmax(dim=0, keepdim=True))[0]
