"""Matrix factorisation: Koren, Bell & Volinsky, "Matrix Factorization Techniques for Recommender Systems" (Computer 42(8), 2009).

A vector for each user and one for each item; what an item is worth to a user is their product and a bias. A bias of the user, which is the same
for all items, would change no ranking. In a federation that averages weights, vectors of users cross like all others.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from fedkd.foundation.options import Count
from fedkd.models._items import Known, RankingModel, excluded
from fedkd.models.base import Outputs, Signature


@dataclass(frozen=True, kw_only=True)
class Factorisation(RankingModel):
    """A vector for each user times the vectors of all items, and a bias an item; knows nothing of new users; known items come last."""

    width: Count = 32
    """Numbers that stand for a user, and for an item."""

    def build(self, signature: Signature) -> nn.Module:
        """Build the network for the users and items of the data."""
        self._refuse_others(signature)
        return _Factors(signature, self.width)


class _Factors(nn.Module):
    def __init__(self, signature: Signature, width: int) -> None:
        super().__init__()
        self.known = Known(signature)
        self.views = ("user", *self.known.views)
        self.users = nn.Embedding(signature.symbols["user"], width)
        nn.init.normal_(self.users.weight, std=width**-0.5)
        self.head = nn.Linear(width, signature.num_outputs)

    def forward(self, user: Tensor, history: Tensor, *seen: Tensor) -> Outputs:
        features = self.users(user)
        return Outputs(excluded(self.head(features), self.known(history, seen)), features)
