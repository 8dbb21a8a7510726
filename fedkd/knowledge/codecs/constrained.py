"""b bits a number: distributions rounded to a grid, so that they stay distributions; with 1 bit, the class that is named.

With L = 2^b - 1, a row p is sent as the q nearest to it whose entries are multiples of 1/L with the sum 1:

    Q_b(p) = argmin |q - p|_1,   q_i in {0, 1/L, ..., 1},   sum_i q_i = 1

Each entry is rounded down, and what is missing to the sum 1 goes to the entries with the largest remainders. Q_1(p) is
one-hot at the largest probability: the vote. As a vote names one class, it can also be sent as the number of the class, in
the 1, 2, 4, 8 or 16 bits that C + 1 numbers need in place of C bits; no number stands over two bytes, so that an entropy
coder sees each as it is.

Source: Sattler et al., "CFD: Communication-Efficient Federated Distillation via Soft-Label Quantization and Delta Coding"
(IEEE TNSE 2022; arXiv 2012.00632), equations 10 and 11.
Differs from the paper: of equal remainders the first classes get the rest, where the paper draws lots.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import Field
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.knowledge.codecs.base import Codec, numbers, rows_of

_OFF = 1e-3


@dataclass(frozen=True, kw_only=True)
class Constrained(Codec):
    """Probabilities rounded to `bits` bits each so that their sum stays 1 (CFD); 1 bit sends the class that is named."""

    bits: Annotated[int, Field(ge=1, le=8)] = 1
    """Bits a number."""

    layout: Literal["bits", "classes"] = "bits"
    """What a row is sent as: `bits` of every number, or, for a vote of 1 bit, the number of its class, which is shorter."""

    def __post_init__(self) -> None:
        """Refuse the number of a class where a row names several."""
        if self.layout == "classes" and self.bits > 1:
            raise InvalidOption("codec.layout", self.layout, "bits, unless codec.bits is 1")

    @property
    def needs_probabilities(self) -> bool:
        """Yes: it rounds distributions."""
        return True

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return the bits of all symbols, one after the other; a row that is no distribution is sent as zeros."""
        rows, width = rows_of(tuple(values.shape))
        symbols = quantise(values.detach().cpu().double().reshape(rows, width), 2**self.bits - 1)
        if self.layout == "classes":
            symbols = symbols @ torch.arange(1, width + 1)[:, None]
        shifts = np.arange(self._symbol_bits(width) - 1, -1, -1)
        return np.packbits((symbols.numpy()[..., None] >> shifts) & 1)

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return the rounded probabilities; NaN for a row whose sum is not 1."""
        rows, width = rows_of(shape)
        each, levels = self._symbol_bits(width), 2**self.bits - 1
        bytes_ = numbers(sent, np.uint8, (self.num_bytes(shape),), keep=True)
        columns = 1 if self.layout == "classes" else width
        bits = np.unpackbits(bytes_, count=rows * columns * each).reshape(rows, columns, each)
        symbols = torch.from_numpy(bits @ (1 << np.arange(each - 1, -1, -1)))
        if self.layout == "classes":
            symbols = (symbols == torch.arange(1, width + 1)).long()
        said: Tensor = symbols.double() / levels
        said[symbols.sum(dim=1) != levels] = math.nan
        return said.float().reshape(shape)

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return `bits` bits a number, or the bits of a class a row, in whole bytes."""
        rows, width = rows_of(shape)
        columns = 1 if self.layout == "classes" else width
        return -(-rows * columns * self._symbol_bits(width) // 8)

    def _symbol_bits(self, width: int) -> int:
        # Classes are counted from 1: 0 is a row that names none.
        return 1 << (width.bit_length() - 1).bit_length() if self.layout == "classes" else self.bits


def quantise(probabilities: Float[Tensor, "rows classes"], levels: int) -> Int[Tensor, "rows classes"]:
    """Return whole numbers with the sum `levels` in each row, as near to `levels * p` as can be; 0 for no distribution."""
    good = (probabilities >= 0).all(dim=1) & ((probabilities.sum(dim=1) - 1).abs() <= _OFF)
    scaled = torch.where(good[:, None], probabilities, 0.0) * levels
    whole = scaled.floor()
    order = (scaled - whole).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(scaled.shape[1]).expand_as(order))
    missing = levels - whole.sum(dim=1, keepdim=True)
    return torch.where(good[:, None], whole + (rank < missing), 0.0).long()
