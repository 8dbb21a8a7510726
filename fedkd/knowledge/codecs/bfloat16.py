"""Two bytes a number: the range of single precision with 8 significant bits."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor

from fedkd.knowledge.codecs.base import Codec, numbers

_LARGEST = torch.finfo(torch.bfloat16).max


@dataclass(frozen=True, kw_only=True)
class BFloat16(Codec):
    """Numbers rounded to the upper half of single precision, 2 bytes each: 2 to 3 digits, at most 3.39e38."""

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return the upper halves of the rounded numbers as uint16; NaN and infinity stay what they are."""
        values = values.detach().cpu().float()
        rounded = torch.where(values.isfinite(), values.clamp(-_LARGEST, _LARGEST), values).bfloat16()
        return rounded.contiguous().view(torch.int16).numpy().view(np.uint16)

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return the numbers as float32."""
        halves = np.atleast_1d(numbers(sent, np.uint16, shape, keep=True)).astype(np.uint32)
        return torch.from_numpy((halves << 16).view(np.float32).reshape(shape))

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return 2 bytes a number."""
        return 2 * math.prod(shape)
