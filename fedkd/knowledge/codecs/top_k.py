"""The k largest probabilities of each row; what is left of the mass is spread evenly over the other classes.

A row p with its k largest classes T is read as q_i = p_i for i in T, and q_i = (1 - sum_T p) / (C - k) for the others.
q is the distribution of largest entropy that agrees with p on T.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Shaped
from torch import Tensor

from fedkd.foundation.options import Count
from fedkd.knowledge.codecs.base import Codec, numbers, rows_of


@dataclass(frozen=True, kw_only=True)
class TopK(Codec):
    """The k largest probabilities of a row with their classes; the residual mass is spread evenly over the rest."""

    k: Count = 3
    """How many classes of each row are sent; all of them where there are fewer."""

    precision: Literal["float32", "float16"] = "float16"
    """How their probabilities are sent."""

    @property
    def needs_probabilities(self) -> bool:
        """Yes: the rest of the mass is known from the sum 1."""
        return True

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return [rows, k (bytes of a number + bytes of a class)] bytes: probabilities in falling order, then classes."""
        rows, width = rows_of(tuple(values.shape))
        given = values.detach().cpu().float().reshape(rows, width)
        # NaN counts as the largest, so that it is sent and noticed.
        largest, classes = given.sort(dim=1, descending=True, stable=True)
        kept = min(self.k, width)
        said = largest[:, :kept].contiguous().numpy().astype(self.precision)
        named = classes[:, :kept].contiguous().numpy().astype(_class_type(width))
        return np.concatenate([said.view(np.uint8), named.view(np.uint8)], axis=1)

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return the whole distributions."""
        rows, width = rows_of(shape)
        kept = min(self.k, width)
        cut = kept * np.dtype(self.precision).itemsize
        bytes_ = numbers(sent, np.uint8, (rows, self.num_bytes((1, width))))
        largest = np.ascontiguousarray(bytes_[:, :cut]).view(self.precision).astype(np.float64)
        classes = np.ascontiguousarray(bytes_[:, cut:]).view(_class_type(width)).astype(np.int64)
        if classes.size and classes.max() >= width:
            raise ValueError(f"sent class {classes.max()}, there are {width}")
        residual = np.clip(1.0 - largest.sum(axis=1, keepdims=True), 0.0, None) / max(width - kept, 1)
        said = np.broadcast_to(residual, (rows, width)).copy()
        np.put_along_axis(said, classes, largest, axis=1)
        return torch.from_numpy(said).float().reshape(shape)

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return k probabilities and k classes a row; a class takes 1 byte up to 256 classes, 2 up to 65,536."""
        rows, width = rows_of(shape)
        each = np.dtype(self.precision).itemsize + _class_type(width).itemsize
        return rows * min(self.k, width) * each


def _class_type(width: int) -> np.dtype[Any]:
    return np.min_scalar_type(max(width - 1, 0))
