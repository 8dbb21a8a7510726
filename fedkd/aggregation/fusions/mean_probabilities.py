"""The weighted mean of probabilities (DS-FL's simple aggregation: Itahara et al., 2020; FedDF's `avg_probs`)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion, log_mean_probability


@dataclass(frozen=True, kw_only=True)
class MeanProbabilities(Fusion):
    """Mean of the teachers' probabilities."""

    def fuse(
        self, outputs: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return `log sum_k w_k p_k`."""
        return log_mean_probability(outputs, weights)
