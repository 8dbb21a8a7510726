"""The weighted mean of probabilities (DS-FL's simple aggregation: Itahara et al., 2020; FedDF's `avg_probs`).

    t(x) = T log sum_k a_k p_k(x),   p_k(x) = softmax(z_k(x) / T)

a_k is the weight of teacher k, z_k(x) its logits. A student that learns at the temperature T learns the mean of the softened outputs: the order in
which several teachers are meant by You et al. (2017). Softening the mean in place of the outputs lets a minority shout: two answers of
which one has 3/4 of the weight stand at 3 to 1 at T = 1, and at 1.3 to 1 after softening at T = 4.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import ProbabilityMean, log_probability
from fedkd.foundation.options import Positive
from fedkd.knowledge.softmax import softmax


@dataclass(frozen=True, kw_only=True)
class MeanProbabilities(ProbabilityMean):
    """Mean of the teachers' probabilities."""

    temperature: Positive = 1.0
    """Softens each teacher before the mean; give it the temperature at which the student learns. 1 is the mean of what they say."""

    def summand(self, outputs: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return the teacher's softened probabilities."""
        return softmax(outputs / self.temperature)

    def finish(self, mean: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return `T log sum_k w_k p_k`."""
        return self.temperature * log_probability(mean)
