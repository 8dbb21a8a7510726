"""Teachers vote on which samples are alike, beside the mean of their probabilities (You et al., 2017).

Source: "Learning from Multiple Teacher Networks" (KDD 2017), sections 3.2 and 3.3: the student learns the mean of the softened
outputs, and a triplet loss holds an intermediate layer of it to the order of distances that most teachers see. Differs
from the paper: teachers are asked about distances between their probabilities, which are all that crosses in most
federations, and every sample has one triplet in each round in place of all triplets of a batch. Sure teachers put all samples of other classes equally
far away, so that most votes are about next to nothing; where the server has the teachers' networks, the term `voted_triplets` asks their layers.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion, Relations, log_probability
from fedkd.aggregation.teachers import spoken
from fedkd.foundation.options import NonNegative


@dataclass(frozen=True, kw_only=True)
class VotedTriplets(Fusion):
    """The mean of probabilities, and for each sample which of two others the teachers' votes put nearer to it."""

    by_class: ClassVar[bool] = True

    weight: NonNegative = 1.0
    """Weight of the triplet loss on the student's features beside the distillation loss."""

    margin: NonNegative = 0.2
    """By how much the squared distance to the nearer sample is to be smaller than that to the other one."""

    def fuse(
        self, outputs: Float[Tensor, "teachers n classes"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n classes"]:
        """Return `log sum_k w_k p_k`."""
        mean = torch.einsum("kn,kno->no", weights.double(), _probabilities(outputs, weights))
        return log_probability(mean).to(outputs.dtype)

    def relations(
        self,
        outputs: Float[Tensor, "teachers n classes"],
        weights: Float[Tensor, "teachers n"],
        generator: torch.Generator,
    ) -> Relations:
        """Return the two samples that are drawn for each one, in the order that most of the weight votes for."""
        samples = outputs.shape[1]
        first, second = (others(samples, generator) for _ in range(2))
        swapped = votes(outputs, weights, first, second) < 0
        return Relations(
            first.where(~swapped, second), second.where(~swapped, first), self.weight, self.margin
        )


def others(samples: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Return for each sample another one that is drawn; itself where there is no other."""
    if samples < 2:
        return torch.zeros(samples, dtype=torch.long)
    steps = torch.randint(1, samples, (samples,), generator=generator)
    return (torch.arange(samples) + steps) % samples


def votes(
    outputs: Float[Tensor, "teachers n classes"],
    weights: Float[Tensor, "teachers n"],
    first: Int[Tensor, " n"],
    second: Int[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """Return by how much weight more teachers see a sample nearer to the first one than see it nearer to the second.

    A teacher votes only where it has spoken about all three, with the smallest of its three weights.
    """
    said = _probabilities(outputs, weights)
    to_first = (said - said[:, first]).square().sum(dim=-1)
    to_second = (said - said[:, second]).square().sum(dim=-1)
    weight = torch.minimum(weights, torch.minimum(weights[:, first], weights[:, second])).double()
    return (weight * torch.sign(to_second - to_first)).sum(dim=0)


def _probabilities(
    outputs: Float[Tensor, "teachers n classes"], weights: Float[Tensor, "teachers n"]
) -> Float[Tensor, "teachers n classes"]:
    return F.softmax(spoken(outputs, weights).double(), dim=-1)
