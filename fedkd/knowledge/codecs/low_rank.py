"""Matrices as the product of two thin ones: the largest singular values that hold a share of the energy.

A matrix A [m, n] with the singular value decomposition A = U S V^T, sigma_1 >= sigma_2 >= ..., is sent as [U_K S_K, V_K^T], which are
K (m + n) numbers, with the smallest K such that

    sum_{i <= K} sigma_i^2 / sum_i sigma_i^2 > T      T the `energy`

What is lost has at most the share 1 - T of the squared norm. A matrix that would not become shorter, K (m + n) >= m n, goes whole, and
so does whatever is no matrix, such as biases. The size of a message tells which it is, and K, so that nothing else is sent.

Source: Wu, Wu, Lyu, Huang & Xie, "Communication-efficient federated learning via knowledge distillation" (Nature Communications 2022;
arXiv 2108.13323), dynamic gradient approximation.
As in the authors' code, arrays of more axes are decomposed too; here as the matrix of their first axis against all others (a convolution
[out, in, height, width] as [out, in * height * width]), there one matrix for each place of the first axes.
Differs from the paper: the threshold is a constant, where it rises in the course of the training, T(t) = T_start + (T_end - T_start) t from 0.95
to 0.98: codecs do not know the round. S goes into U, which saves K numbers.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from fedkd.foundation.threads import threads
from fedkd.knowledge.codecs.base import Codec, numbers
from fedkd.knowledge.codecs.float32 import Float32

_WHOLE = Float32()
_ROUNDING = torch.finfo(torch.float32).eps
"""Singular values below so much of the largest one, times the longer side, are rounding."""


@dataclass(frozen=True, kw_only=True)
class LowRank(Codec):
    """Matrices by their largest singular values (FedKD), 4 bytes a number; made for updates of weights, which have few large ones."""

    energy: Annotated[float, Field(gt=0, le=1)] = 0.98
    """Share of the squared singular values that is kept, at least; 1 loses nothing but rounding."""

    @property
    def fixed_size(self) -> bool:
        """No: it depends on the singular values."""
        return False

    @property
    def settles(self) -> bool:
        """No: of what is left, the same share is kept again."""
        return False

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return the two factors, one after the other, or the numbers as they are; what is not finite is sent whole."""
        rows, columns = _sides(tuple(values.shape))
        given = values.detach().cpu()
        if not (given.is_floating_point() and rows + columns < rows * columns and given.isfinite().all()):
            return _WHOLE.encode(values)
        left, right = factors(given.double().reshape(rows, columns), self.energy)
        if right.shape[0] * (rows + columns) >= rows * columns:
            return _WHOLE.encode(values)
        return torch.cat([left.flatten(), right.flatten()]).float().numpy()

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return the product of the factors, or the numbers."""
        rows, columns = _sides(shape)
        if sent.shape == shape or sent.nbytes >= self.num_bytes(shape):
            return _WHOLE.decode(sent, shape)
        rank = sent.nbytes // (4 * (rows + columns))
        flat = torch.from_numpy(numbers(sent, np.float32, (rank * (rows + columns),))).double()
        left, right = flat[: rank * rows], flat[rank * rows :]
        # Both ends must come to the same numbers, however many threads they have.
        with threads(1):
            said: Tensor = left.reshape(rows, rank) @ right.reshape(rank, columns)
        return said.float().reshape(shape)

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return 4 bytes a number, which no matrix exceeds."""
        return 4 * math.prod(shape)


def factors(
    matrix: Float[Tensor, "rows columns"], energy: float
) -> tuple[Float[Tensor, "rows rank"], Float[Tensor, "rank columns"]]:
    """Return U_K S_K and V_K^T for the smallest K whose singular values hold more than a share of the energy; K = 0 for zeros."""
    with threads(1):
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    squares = values.square()
    held = squares.cumsum(dim=0) / squares.sum().clamp_min(torch.finfo(squares.dtype).tiny)
    least = max(matrix.shape) * _ROUNDING * values.amax()
    rank = min(int((held <= energy).sum()) + 1, int((values > least).sum()))
    return left[:, :rank] * values[:rank], right[:rank]


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many rows and columns an array of this shape has as a matrix; one row for what is none."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
