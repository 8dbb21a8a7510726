"""A codec as an option of another one: a name, or a mapping with `name` and its options."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.parts import dump
from fedkd.knowledge.codecs import CODECS
from fedkd.knowledge.codecs.base import Codec


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
