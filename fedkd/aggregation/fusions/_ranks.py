"""Fusions that look at rankings alone: what teachers score highest, and not by how much."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import MeanFusion, log_probability
from fedkd.foundation.options import Positive


@dataclass(frozen=True, kw_only=True)
class RankFusion(MeanFusion):
    """A mean of points that an item, or a class, gets for its place in each teacher's ranking."""

    sharpness: Positive = 1.0
    """Power of the points that are the target, once they are divided by their sum; no ranking depends on it."""

    @abstractmethod
    def points(self, places: Float[Tensor, "n items"]) -> Float[Tensor, "n items"]:
        """Return the points of each place, 0 or more; places are 1 for the first to the number of items for the last."""

    def summand(self, outputs: Float[Tensor, "n items"]) -> Float[Tensor, "n items"]:
        """Return the points that a teacher gives to each item."""
        return self.points(places(outputs))

    def finish(self, mean: Float[Tensor, "n items"]) -> Float[Tensor, "n items"]:
        """Return the logarithm of the mean points to the power, divided by their sum."""
        return F.log_softmax(self.sharpness * log_probability(mean), dim=-1)


def places(outputs: Float[Tensor, "n items"]) -> Float[Tensor, "n items"]:
    """Return the place of each item by its score, 1 for the highest; equal ones have the mean of their places."""
    rising, order = outputs.sort(dim=-1)
    at = torch.arange(outputs.shape[-1], device=outputs.device).expand(outputs.shape)
    other = rising[..., 1:] != rising[..., :-1]
    # of equal scores that lie side by side: where they begin, and, from behind, where they end
    begin = at.clone()
    begin[..., 1:] = at[..., 1:] * other
    end = at.clone()
    end[..., :-1] = at[..., :-1].where(other, outputs.shape[-1] - 1)
    begin, end = begin.cummax(dim=-1).values, end.flip(-1).cummin(dim=-1).values.flip(-1)
    found = outputs.shape[-1] - (begin + end).to(outputs.dtype) / 2
    return torch.empty_like(found).scatter_(-1, order, found)
