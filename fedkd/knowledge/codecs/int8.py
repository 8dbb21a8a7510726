"""One byte a number and eight a row: affine quantisation, row by row.

A row x is sent as its smallest number a, a step s = (max x - min x) / 255, both in single precision, and whole numbers
q = round((x - a) / s) from 0 to 255; the receiver has a + s q, no further than s / 2 from x.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(CVPR 2018), equation 1, with a in place of the zero point, so that the smallest number is exact.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor

from fedkd.knowledge.codecs.base import Codec, numbers, rows_of

_HEAD = 8


@dataclass(frozen=True, kw_only=True)
class Int8(Codec):
    """Numbers in 256 equal steps from the smallest to the largest of their row, 1 byte each and 8 bytes a row."""

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return [rows, 8 + width] bytes: a and s, then q; a row that is not finite has an a or s that is not."""
        rows, width = rows_of(tuple(values.shape))
        if not rows * width:
            return np.empty((rows, 0), np.uint8)
        given = values.detach().cpu().double().reshape(rows, width)
        low = given.amin(dim=1, keepdim=True).float()
        step = ((given.amax(dim=1, keepdim=True) - low.double()) / 255).float()
        places = (given - low.double()) / torch.where(step > 0, step, 1.0).double()
        symbols = places.round().nan_to_num(0.0).clamp(0, 255).to(torch.uint8).numpy()
        head = torch.cat([low, step], dim=1).numpy().view(np.uint8)
        return np.concatenate([head, symbols], axis=1)

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return a + s q."""
        rows, width = rows_of(shape)
        bytes_ = numbers(sent, np.uint8, (rows, _HEAD + width if width else 0))
        head = np.ascontiguousarray(bytes_[:, :_HEAD]).view(np.float32).astype(np.float64)
        said = head[:, :1] + head[:, 1:] * bytes_[:, _HEAD:]
        return torch.from_numpy(said).float().reshape(shape)

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return 1 byte a number and 8 bytes a row."""
        rows, width = rows_of(shape)
        return rows * (_HEAD + width) if width else 0
