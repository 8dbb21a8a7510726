"""Ranking: outputs are scores of all items for a user at some time, targets the item that the user took next.

All items are ranked. What the user knows already is none of them: networks score it below all others (`models/_items.py`), and every mean of
their outputs or probabilities keeps it there.
"""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.tasks.classification import Classification

TOP = 10
"""Places that are shown to a user."""


class Ranking(Classification):
    """One of all items comes next: a class to the loss, a place in the ranking to the metrics."""

    score: ClassVar[str] = "ndcg_10"
    metric_names: ClassVar[tuple[str, ...]] = ("ndcg_10", "hr_10", "mrr", "loss")
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"ndcg_10", "hr_10", "mrr"})

    def measured(
        self, outputs: Float[Tensor, "clients n items"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, "clients metrics"]:
        """Return NDCG@10, HR@10, the mean reciprocal rank, and the cross-entropy in nats.

        With one right item a user, at place r from 1 on, these are the means of `1 / log2(r + 1)` and of 1 where r is at most 10, and
        of `1 / r`. An item that is scored as high as the right one comes before it. A network that says something that is not finite
        has no metrics.
        """
        outputs = outputs.detach()
        columns = targets.expand(outputs.shape[:-1])[..., None]
        right = outputs.gather(-1, columns)
        place = (outputs >= right).sum(dim=-1).double()
        shown = (place <= TOP).double()
        loss = outputs.double().logsumexp(dim=-1) - right[..., 0].double()
        gain = shown / (place + 1).log2()
        said = torch.stack([gain, shown, place.reciprocal(), loss], dim=-1).mean(dim=1)
        finite = outputs.isfinite().all(dim=-1).all(dim=-1)
        return said.where(finite[:, None], float("nan"))

    def chance(self, targets: Int[Tensor, " n"]) -> float:
        """Return the NDCG@10 of showing everybody the items that most of these users took."""
        counts = torch.bincount(targets).sort(descending=True).values[:TOP].double()
        gains = (torch.arange(len(counts), dtype=torch.float64) + 2).log2().reciprocal()
        return float((counts * gains).sum() / len(targets))
