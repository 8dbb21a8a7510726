"""What networks that rank items have in common: what is known of a user, and items that need no rank because they are known already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.models.base import Model, Signature

BELOW = 10.0
"""By how much a known item is scored below all others: its probability is less than e^-10 of theirs, and codecs keep their precision."""


@dataclass(frozen=True, kw_only=True)
class RankingModel(Model):
    """Base of models that score every item for a user, whose views they read: what was taken, and whose sample it is."""

    reads_symbols: ClassVar[bool] = True

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Refuse: such a network reads more than one view."""
        del num_outputs
        raise self._refusal(f"it has inputs of shape {list(shape)}")

    def _refuse_others(self, signature: Signature) -> None:
        """Refuse data that does not say what users took, and a view by name.

        Raises:
            IllegalCombination, InvalidOption: as said.
        """
        if signature.symbols.get("history") != signature.num_outputs + 1 or "user" not in signature.views:
            raise self._refusal(f"it has the views {', '.join(signature.views)}")
        if self.view is not None:
            raise InvalidOption("model.view", self.view, "empty: this network knows which views it reads")

    def _refusal(self, found: str) -> IllegalCombination:
        name = type(self).__module__.rpartition(".")[2]
        return IllegalCombination(
            f"model={name} ranks items by what a user took before, and this data does not say that: {found}; take data=movielens, or model=mlp"
        )


class Known(nn.Module):
    """Marks the items that a user knows, by the history and, where that is not all, by bits.

    Args:
        signature: of the data.
    """

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.items = signature.num_outputs
        self.views = ("history", "seen") if "seen" in signature.views else ("history",)
        self.bits = signature.symbols.get("seen", 1).bit_length() - 1

    def forward(
        self, history: Int[Tensor, "batch length"], seen: Sequence[Int[Tensor, "batch words"]]
    ) -> Bool[Tensor, "batch items"]:
        """Return whether each item is known; the number behind all items says nothing."""
        nothing = torch.zeros((len(history), self.items + 1), dtype=torch.int64, device=history.device)
        marks = nothing.scatter(1, history, 1)[:, : self.items]
        for words in seen:
            places = torch.arange(self.bits, device=words.device)
            marks = marks | ((words[:, :, None] >> places) & 1).flatten(1)[:, : self.items]
        return marks > 0


def excluded(
    scores: Float[Tensor, "batch items"], known: Bool[Tensor, "batch items"]
) -> Float[Tensor, "batch items"]:
    """Return the scores, with those of known items below all others; no gradient passes through them."""
    least = scores.masked_fill(known, torch.inf).amin(dim=1, keepdim=True).detach()
    least = torch.where(least.isfinite(), least, 0.0)  # whoever knows all items has nothing to be ranked
    return torch.where(known, least - BELOW, scores)
