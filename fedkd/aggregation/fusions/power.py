"""Sharpening by a power of the mean probability (FedBE: Chen & Chao, 2021, with b = 2).

    t(x) = p^b / sum_c p_c^b,   p = sum_k a_k p_k(x)

a_k is the weight of teacher k, p_k(x) its probabilities; the sum in the denominator runs over the classes.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import ProbabilityMean, log_probability
from fedkd.foundation.options import Positive


@dataclass(frozen=True, kw_only=True)
class Power(ProbabilityMean):
    """The mean probability to a power, normalised; an exponent above 1 never raises the entropy."""

    exponent: Positive = 2.0
    """Above 1 sharpens, 1 leaves the mean as it is, below 1 flattens."""

    def finish(self, mean: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return `b log sum_k w_k p_k`, whose softmax is the target."""
        return self.exponent * log_probability(mean)
