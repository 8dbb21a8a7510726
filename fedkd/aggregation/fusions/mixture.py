"""The mean and variance of the mixture of the teachers' normal distributions (deep ensembles: Lakshminarayanan et al., 2017).

    m = sum_k a_k m_k,   s^2 = sum_k a_k (s_k^2 + m_k^2) - m^2

a_k is the weight of teacher k, m_k(x) and s_k^2(x) its mean and variance. Source: Lakshminarayanan, Pritzel & Blundell, "Simple and
Scalable Predictive Uncertainty Estimation using Deep Ensembles" (NeurIPS 2017), section 2.4.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import MeanFusion
from fedkd.tasks import GaussianRegression


@dataclass(frozen=True, kw_only=True)
class Mixture(MeanFusion):
    """The normal distribution with the moments of the mixture: the mean of the variances, and how far the means lie apart.

    A teacher counts by its weight alone, however unsure it is; where teachers disagree, the variance is large.
    """

    needs_classes: ClassVar[bool] = False
    needs_gaussians: ClassVar[bool] = True
    gives: ClassVar[Literal["logits", "probabilities"]] = "logits"

    def summand(self, outputs: Float[Tensor, "n twice"]) -> Float[Tensor, "n twice"]:
        """Return `m_k` and `s_k^2 + m_k^2`."""
        return GaussianRegression().summand(outputs)

    def finish(self, mean: Float[Tensor, "n twice"]) -> Float[Tensor, "n twice"]:
        """Return `m` and `log s^2`."""
        return GaussianRegression().from_mean(mean)
