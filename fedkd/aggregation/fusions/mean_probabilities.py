"""The weighted mean of probabilities (DS-FL's simple aggregation: Itahara et al., 2020; FedDF's `avg_probs`).

    t(x) = sum_k a_k p_k(x)

a_k is the weight of teacher k, p_k(x) its probabilities.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import ProbabilityMean, log_probability


@dataclass(frozen=True, kw_only=True)
class MeanProbabilities(ProbabilityMean):
    """Mean of the teachers' probabilities."""

    def finish(self, mean: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return `log sum_k w_k p_k`."""
        return log_probability(mean)
