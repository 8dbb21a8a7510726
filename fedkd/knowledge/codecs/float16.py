"""Two bytes a number: half precision, 11 significant bits, at most 65,504."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor

from fedkd.knowledge.codecs.base import Codec, numbers


@dataclass(frozen=True, kw_only=True)
class Float16(Codec):
    """Numbers rounded to half precision, 2 bytes each; larger ones than 65,504 are sent as 65,504."""

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return the rounded numbers; NaN and infinity stay what they are, so that they are noticed."""
        values = values.detach().cpu()
        return torch.where(values.isfinite(), values.clamp(-65504.0, 65504.0), values).half().numpy()

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return the numbers as float32."""
        return torch.from_numpy(numbers(sent, np.float16, shape, keep=True).astype(np.float32))

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return 2 bytes a number."""
        return 2 * math.prod(shape)
