"""What becomes of the values of the single samples, and vectors of length one: shared by all losses.

>>> reduce(torch.tensor([1.0, 3.0]), "mean")
tensor(2.)
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Reduction = Literal["mean", "sum", "none"]
"""The mean over the batch, the sum, or one value a sample (a user, where rankings are learned)."""


def reduce(values: Float[Tensor, " batch"], reduction: Reduction) -> Float[Tensor, "*batch"]:
    """Return the mean or the sum of the values, or the values; of no value at all the mean is 0."""
    match reduction:
        case "mean":
            return values.mean() if len(values) else values.sum()
        case "sum":
            return values.sum()
        case "none":
            return values


def unit(vectors: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape width"]:
    """Return the vectors at length 1; a vector of zeros stays one, and its gradient stays small."""
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / nonzero(length)


def nonzero(numbers: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return numbers to divide by: themselves, and 1 where there is a 0."""
    return torch.where(numbers == 0, 1.0, numbers)
