"""The softmax of many rows with few classes, which is what clients say and fusions add up.

>>> softmax(torch.zeros(320, 10)).sum(dim=-1)
tensor([1., 1., ...])
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_NARROW, _MANY = 16, 64
"""Classes below which PyTorch's softmax over the last axis goes number by number, and rows from which another way pays: measured on a CPU."""


def softmax(scores: Float[Tensor, "... classes"]) -> Float[Tensor, "... classes"]:
    """Return the softmax over the last axis; of many rows with few classes it goes along the rows, several at once.

    Args:
        scores: raw outputs, or logarithms of probabilities.
    """
    classes = scores.shape[-1]
    if classes >= _NARROW or scores.numel() < _MANY * classes or scores.device.type != "cpu":
        return F.softmax(scores, dim=-1)
    across = F.softmax(scores.reshape(-1, classes).t(), dim=0)
    return across.t().contiguous().view(scores.shape)
