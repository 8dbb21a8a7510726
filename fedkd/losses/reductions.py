"""What becomes of the values of the single samples, and vectors of length one: shared by all losses.

>>> reduce(torch.tensor([1.0, 3.0]), "mean")
tensor(2.)
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.losses.checks import one_of

Reduction = Literal["mean", "sum", "none"]
"""The mean over the batch, the sum, or one value a sample (a user, where rankings are learned)."""


def reduce(values: Float[Tensor, " batch"], reduction: Reduction) -> Float[Tensor, "*batch"]:
    """Return the mean or the sum of the values, or the values; of no value at all the mean is 0.

    Raises:
        InvalidOption: there is no such reduction.
    """
    one_of("reduction", reduction, get_args(Reduction))
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


def largest(numbers: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Return the largest number, and 0 of none."""
    return numbers.max() if numbers.numel() else numbers.sum()


def scaled(numbers: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return numbers over the size of the largest where their powers may be infinite, for losses that see no scale; others as they are."""
    if not numbers.numel():
        return numbers
    lowest, highest = torch.aminmax(numbers.detach())
    size = torch.maximum(-lowest, highest)
    return numbers / torch.where(size > torch.finfo(numbers.dtype).max ** 0.125, size, 1.0)
