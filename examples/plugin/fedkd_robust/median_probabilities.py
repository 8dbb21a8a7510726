"""The median of the teachers' probabilities, class by class: the coordinate-wise median of Yin et al., "Byzantine-Robust
Distributed Learning: Towards Optimal Statistical Rates" (ICML 2018), applied to answers in place of gradients.

With weights it is the smallest value at which half of the weight is reached. Normalised, since medians need not sum to 1.
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
