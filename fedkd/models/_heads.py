"""Several heads of one network: its last layer scores the classes of all of them, one after the other, and they are laid out here.

>>> by_head(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]), (2, 3))
tensor([[[  1.,   2., -29.],
         [  3.,   4.,   5.]]])
"""

import torch
from jaxtyping import Float
from torch import Tensor

BELOW = 30.0
"""By how much a class that a head lacks is scored below all that it has: next to nothing at temperatures to 10, and half precision can hold it."""


def by_head(
    scores: Float[Tensor, "*batch outputs"], classes: tuple[int, ...]
) -> Float[Tensor, "*batch heads classes"]:
    """Return the scores of each head; a head with fewer classes than the largest is filled up with scores below its own.

    Args:
        scores: those of the first head, then those of the second, and so on.
        classes: number of classes of each head.
    """
    return torch.stack(
        [_filled(part, max(classes)) for part in torch.split(scores, list(classes), dim=-1)], dim=-2
    )


def _filled(scores: Float[Tensor, "*batch some"], size: int) -> Float[Tensor, "*batch classes"]:
    # No gradient passes through what is filled in.
    below = scores.detach().amin(dim=-1, keepdim=True) - BELOW
    return torch.cat([scores, below.expand(*scores.shape[:-1], size - scores.shape[-1])], dim=-1)
