"""Codecs with another codec inside, and that codec as an option: a name, or a mapping with `name` and its options."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import numpy.typing as npt
from jaxtyping import Shaped
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.parts import dump
from fedkd.knowledge.codecs import CODECS
from fedkd.knowledge.codecs.base import Before, Codec


def _read(given: Any, info: Any) -> Codec:  # a ValidationInfo, which cannot be checked at run time
    key = f"{(info.context or {}).get('key', 'codec')}.{info.field_name}"
    if not isinstance(given, str | Mapping):
        raise InvalidOption(key, given, f"the name of a codec: one of {', '.join(CODECS.names())}")
    codec: Codec = CODECS.create(given, key=key)
    return codec


def _write(codec: Codec) -> dict[str, Any]:
    return {"name": codec.name, **dump(codec)}


Nested = Annotated[
    Codec,
    PlainValidator(_read),
    PlainSerializer(_write),
    WithJsonSchema({"const": "codec"}, mode="validation"),
]
"""An option that is a codec."""


class Around(Codec):
    """A codec with another one inside, whose size depends on what is said.

    A subclass has the option `of`, and says what is sent to a receiver who holds copies; one who holds none is the special case.
    """

    of: Nested

    @property
    def needs_probabilities(self) -> bool:
        """As the codec inside."""
        return self.of.needs_probabilities

    @property
    def remembers(self) -> bool:
        """As the codec inside."""
        return self.of.remembers

    @property
    def settles(self) -> bool:
        """As the codec inside."""
        return self.of.settles

    @property
    def fixed_size(self) -> bool:
        """No: it depends on what is said."""
        return False

    def encode(self, values: Shaped[Tensor, "..."]) -> npt.NDArray[Any]:
        """Return the message to a receiver who holds nothing."""
        return self.encode_after(values, None)

    def decode(self, sent: npt.NDArray[Any], shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
        """Return what a receiver who holds nothing makes of it."""
        return self.decode_after(sent, shape, None)

    @abstractmethod
    def encode_after(self, values: Shaped[Tensor, "..."], before: Before | None) -> npt.NDArray[Any]:
        """Return the message to a receiver who holds copies, if any."""

    @abstractmethod
    def decode_after(
        self, sent: npt.NDArray[Any], shape: tuple[int, ...], before: Before | None
    ) -> Shaped[Tensor, "..."]:
        """Return what a receiver who holds copies, if any, makes of it."""
