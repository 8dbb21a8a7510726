"""Four bytes a number: nothing is lost."""

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
class Float32(Codec):
    """Numbers as they are, 4 bytes each."""

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return the numbers in single precision; whole numbers keep their type."""
        return (values.float() if values.is_floating_point() else values).detach().cpu().numpy()

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return the numbers in memory of their own."""
        if sent.shape == shape:
            return torch.from_numpy(np.array(sent))
        return torch.from_numpy(numbers(sent, np.float32, shape))

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return 4 bytes a number."""
        return 4 * math.prod(shape)
