"""Entropy reduction averaging, ERA, of DS-FL (Itahara et al., 2020).

    t(x) = softmax(sum_k a_k p_k(x) / T)

a_k is the weight of teacher k, p_k(x) its probabilities.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import ProbabilityMean
from fedkd.foundation.options import Positive


@dataclass(frozen=True, kw_only=True)
class ERA(ProbabilityMean):
    """Softmax of the mean probability divided by a temperature.

    In spite of its name it can raise the entropy, namely with many classes or a temperature near 1; `power` never does.
    """

    temperature: Positive = 0.1
    """Smaller sharpens more; the paper takes 0.1."""

    def finish(self, mean: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return `sum_k w_k p_k / T`, whose softmax is the target."""
        return mean / self.temperature
