"""The weighted geometric mean of the teachers' probabilities, or logarithmic opinion pool (Heskes, 1998)."""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import FLOOR, MeanFusion


@dataclass(frozen=True, kw_only=True)
class MeanLogProbabilities(MeanFusion):
    """Mean of the logarithms of the teachers' probabilities, at least -708 each, so that every teacher can veto a class.

    Its softmax is that of the mean of logits; what differs is that probabilities are sent on, and not scores of any size.
    """

    def summand(self, outputs: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return `log p_k`, at least -708, so that classes of which each teacher vetoes another leave a target."""
        return F.log_softmax(outputs, dim=-1).clamp_min(FLOOR)

    def finish(self, mean: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return `sum_k w_k log p_k`, whose softmax is the normalised geometric mean."""
        return mean
