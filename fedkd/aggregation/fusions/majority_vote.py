"""The class that most teachers name (PATE without noise: Papernot et al., 2017, section 2.1)."""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import MeanFusion, log_probability

TIE = 1e-9
"""Shares of the votes that differ by less are a tie, whatever the rounding of weights."""


@dataclass(frozen=True, kw_only=True)
class MajorityVote(MeanFusion):
    """All probability on the class that has most of the votes, by the teachers' weights; of several the first one."""

    hard: bool = True
    """Whether the winner takes all; else the target are the shares of the votes, as clients' labels are averaged in CFD."""

    def summand(self, outputs: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return 1 for the class that the teacher names."""
        return F.one_hot(outputs.argmax(dim=-1), outputs.shape[-1]).to(outputs.dtype)

    def finish(self, mean: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return the logarithm of the shares, or of 1 for the winner and 0 for the others."""
        if self.hard:
            mean = F.one_hot((mean / TIE).round().argmax(dim=-1), mean.shape[-1]).to(mean.dtype)
        return log_probability(mean)
