"""What a codec must say."""

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from fedkd.foundation.parts import Part


class Before(NamedTuple):
    """What both ends of a line hold of the rows that are about to be sent.

    Attributes:
        values: the last copy of each row; anything where there is none.
        known: whether there is one.
    """

    values: Float[Tensor, "rows _"]
    known: Bool[Tensor, " rows"]


class Codec(Part, ABC):
    """Turns tensors into arrays that are sent, and back; a row is what stands along the last axis."""

    @property
    def name(self) -> str:
        """The name under which the receiver finds the codec again."""
        cls = type(self)
        built_in = cls.__module__.startswith("fedkd.knowledge.codecs.")
        return (
            cls.__module__.rsplit(".", maxsplit=1)[-1] if built_in else f"{cls.__module__}:{cls.__qualname__}"
        )

    @property
    def needs_probabilities(self) -> bool:
        """Whether each row must be a distribution: not negative, with the sum 1."""
        return False

    @property
    def remembers(self) -> bool:
        """Whether what is sent depends on what was sent before; then both ends must keep the last copy of each row."""
        return False

    @property
    def fixed_size(self) -> bool:
        """Whether the size follows from the shape; else `num_bytes` is the largest size, and the ledger has the exact one."""
        return True

    @property
    def settles(self) -> bool:
        """Whether what has been through it goes through it again without further loss, so that a consensus may be passed on."""
        return True

    @abstractmethod
    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return what is sent."""

    @abstractmethod
    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return what the receiver makes of it, as float32 (whole numbers stay whole).

        Args:
            sent: what `encode` returned, or its bytes (uint8), which is how it stands inside another codec.
            shape: the shape of what was encoded, which the message says.

        Raises:
            ValueError: nothing of this shape can have been sent so.
        """

    @abstractmethod
    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the exact size in bytes of an encoded array of this shape, without its envelope; see `fixed_size`."""

    def encode_after(self, values: Shaped[Tensor, "..."], before: Before | None) -> npt.NDArray[Any]:
        """Return what is sent to a receiver who holds copies; only codecs that remember look at them."""
        del before
        return self.encode(values)

    def decode_after(
        self, sent: npt.NDArray[Any], shape: tuple[int, ...], before: Before | None
    ) -> Shaped[Tensor, "..."]:
        """Return what a receiver who holds copies makes of it."""
        del before
        return self.decode(sent, shape)


def numbers(
    sent: npt.NDArray[Any], dtype: npt.DTypeLike, shape: tuple[int, ...], *, keep: bool = False
) -> npt.NDArray[Any]:
    """Return the numbers of a sent array, or of its bytes, in a shape; in memory of their own unless `keep` is said.

    Raises:
        ValueError: their number is another one.
    """
    flat = np.ascontiguousarray(sent).reshape(-1)
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if flat.nbytes != size:
        raise ValueError(f"sent {flat.nbytes} bytes for the shape {list(shape)}, expected {size}")
    found = flat.view(dtype).reshape(shape)
    return found if keep else found.copy()


def rows_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many rows an array of this shape has, and how many numbers a row."""
    width = shape[-1] if shape else 1
    return math.prod(shape[:-1]), width


def in_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the bytes of an array, one after the other."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
