"""The product of normal experts, whose evidence is independent: the more agree, the surer they are together (Hinton, 2002).

    1/s^2 = K sum_k a_k / s_k^2,   m = (sum_k a_k m_k / s_k^2) / (sum_k a_k / s_k^2),   K = 1 / sum_k a_k^2

a_k is the weight of teacher k, m_k(x) and s_k^2(x) its mean and variance. K is how many teachers count (Kish's effective number): all of them
where they weigh alike, which gives the plain product; one where one has all the weight. Source: Hinton, "Training Products of Experts by Minimizing Contrastive Divergence" (Neural Computation 14, 2002), section 2.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Product(Fusion):
    """Product of the teachers' normal densities: precisions add up, K identical teachers have a K-th of the variance.

    Teachers that saw the same data are not independent, and their product is too sure; `precision` does not count them several times.
    """

    needs_classes: ClassVar[bool] = False
    needs_gaussians: ClassVar[bool] = True
    gives: ClassVar[Literal["logits", "probabilities"]] = "logits"

    def fuse(
        self, outputs: Float[Tensor, "teachers n twice"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n twice"]:
        """Return `m` and `log s^2`."""
        mean, log_variance = Precision().fuse(outputs, weights).chunk(2, dim=-1)
        total = weights.double().square().sum(dim=0).to(outputs.dtype)
        return torch.cat((mean, log_variance + total.log()[:, None]), dim=-1)
