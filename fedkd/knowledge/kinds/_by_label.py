"""Means over the samples of each label."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def means_by_label(
    rows: Float[Tensor, "n width"], targets: Int[Tensor, " n"], classes: int
) -> tuple[Float[Tensor, "classes width"], Int[Tensor, " classes"]]:
    """Return the mean row of the samples of each class, 0 where there are none, and how many there were."""
    counts = torch.bincount(targets, minlength=classes)
    sums = torch.zeros(classes, rows.shape[-1], dtype=rows.dtype).index_add_(0, targets, rows)
    return sums / counts.clamp_min(1)[:, None], counts
