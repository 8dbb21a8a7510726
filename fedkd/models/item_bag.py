"""What a user took last, as the mean of the items, into scores of all items: knows no user by name, so that it serves new ones.

Source: the network of the candidates in P. Covington, J. Adams and E. Sargin, "Deep Neural Networks for YouTube Recommendations" (RecSys 2016),
section 3.2, with items alone, and one table of items for both ends.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.foundation.options import Count
from fedkd.models._items import Known, RankingModel, excluded
from fedkd.models._layers import layers
from fedkd.models.base import Outputs, Signature


@dataclass(frozen=True, kw_only=True)
class ItemBag(RankingModel):
    """Mean of the vectors of a user's items, changed by hidden layers, times the vectors of all items; known items come last."""

    width: Count = 32
    """Numbers that stand for an item, and for a user."""

    hidden: tuple[Count, ...] = (64,)
    """Width of each hidden layer of what is added to the mean; none adds a linear map of it."""

    def build(self, signature: Signature) -> nn.Module:
        """Build the network for the items of the data."""
        self._refuse_others(signature)
        return _Bag(signature, self.width, self.hidden)


class _Bag(nn.Module):
    def __init__(self, signature: Signature, width: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.known = Known(signature)
        self.views = self.known.views
        widths = (width, *hidden)
        self.body = nn.Sequential(*layers(widths), nn.Linear(widths[-1], width))
        self.head = nn.Linear(width, signature.num_outputs)

    def forward(self, history: Tensor, *seen: Tensor) -> Outputs:
        there = history < self.known.items
        vectors = F.embedding(history.clamp(max=self.known.items - 1), self.head.weight) * there[..., None]
        mean = vectors.sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)
        features = mean + self.body(mean)
        return Outputs(excluded(self.head(features), self.known(history, seen)), features)
