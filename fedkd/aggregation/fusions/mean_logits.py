"""The weighted mean of raw outputs (FedMD: Li & Wang, 2019, Algorithm 1; FedDF's `avg_logits`: Lin et al., 2020).

    z(x) = sum_k a_k z_k(x)

a_k is the weight of teacher k, z_k(x) its logits; the logits of the target are their mean.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import MeanFusion


@dataclass(frozen=True, kw_only=True)
class MeanLogits(MeanFusion):
    """Mean of logits, which is the normalised geometric mean of the probabilities; for numbers, their mean."""

    needs_classes: ClassVar[bool] = False
    gives: ClassVar[Literal["logits", "probabilities"]] = "logits"

    def summand(self, outputs: Float[Tensor, "n outputs"]) -> Float[Tensor, "n outputs"]:
        """Return `z_k`."""
        return outputs

    def finish(self, mean: Float[Tensor, "n outputs"]) -> Float[Tensor, "n outputs"]:
        """Return `sum_k w_k z_k`."""
        return mean
