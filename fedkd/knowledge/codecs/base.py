"""What a codec must say."""

from abc import ABC, abstractmethod
from typing import Any

import numpy.typing as npt
from jaxtyping import Shaped
from torch import Tensor

from fedkd.foundation.parts import Part


class Codec(Part, ABC):
    """Turns tensors into arrays that are sent, and back."""

    @property
    def name(self) -> str:
        """The name under which the receiver finds the codec again."""
        cls = type(self)
        built_in = cls.__module__.startswith("fedkd.knowledge.codecs.")
        return (
            cls.__module__.rsplit(".", maxsplit=1)[-1] if built_in else f"{cls.__module__}:{cls.__qualname__}"
        )

    @abstractmethod
    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return what is sent."""

    @abstractmethod
    def decode(self, sent: npt.NDArray[Any]) -> Shaped[Tensor, "..."]:
        """Return what the receiver makes of it, as float32 (whole numbers stay whole)."""

    @abstractmethod
    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the exact size in bytes of an encoded array of this shape, without its envelope."""
