"""Parts: what a recipe can name. A part is a frozen dataclass whose fields are its options.

>>> @dataclass(frozen=True, kw_only=True)
... class Power(Part):
...     exponent: Positive = 2.0
...     "Above 1 sharpens, below 1 flattens."
>>> build(Power, {"exponent": 3}, key="method.fusion")
Power(exponent=3.0)
"""

import dataclasses
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, ClassVar, TypeVar, Union, cast, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedkd.foundation.errors import InvalidOption, nearest

P = TypeVar("P")

_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
"""Validators by class: each is made once, since making one costs milliseconds."""

OPTIONS_CONFIG = ConfigDict(extra="forbid", use_attribute_docstrings=True, strict=True)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Base of everything that a recipe can name; subclasses are frozen, keyword-only dataclasses."""

    __pydantic_config__: ClassVar[ConfigDict] = OPTIONS_CONFIG


@dataclass(frozen=True)
class Option:
    """One option of a part, for people: shown by `fedkd list` and `fedkd run --help`."""

    name: str
    type: str
    default: str
    range: str
    doc: str


def build(cls: type[P], options: Mapping[str, Any], *, key: str) -> P:
    """Construct a part from plain values, or say in one line what is wrong with them.

    Args:
        cls: the dataclass; its fields are the only options it takes.
        options: decoded YAML, JSON-like values only.
        key: dotted path under which the options stand, for messages.

    Raises:
        InvalidOption: an unknown key, a wrong type, a value out of range, or a missing option.
    """
    try:
        return cast("P", _adapter(cls).validate_json(json.dumps(dict(options)), context={"key": key}))
    except TypeError as error:
        raise InvalidOption(key, options, "plain values (numbers, words, lists, mappings)") from error
    except ValidationError as error:
        raise _explain(cls, error, key) from None


def dump(part: Any) -> dict[str, Any]:
    """Return the options of a part as plain values, the inverse of `build`."""
    return cast("dict[str, Any]", json.loads(_adapter(type(part)).dump_json(part)))


def options_of(cls: type) -> list[Option]:
    """Describe each option of a part: type, default, range and what it does."""
    schema = _adapter(cls).json_schema()
    described = schema.get("properties", {})
    # pydantic reads the words under an option in the class itself only; inherited options are described by their class.
    words: dict[str, str] = {}
    for base in cls.__mro__:
        if dataclasses.is_dataclass(base):
            for name, entry in _adapter(base).json_schema().get("properties", {}).items():
                if "description" in entry:
                    words.setdefault(name, " ".join(str(entry["description"]).split()))
    rows = []
    for field in dataclasses.fields(cls):
        entry = described.get(field.name, {})
        rows.append(
            Option(
                name=field.name,
                type=_words_for_type(entry, schema),
                default=_words_for_default(field),
                range=_words_for_range(entry),
                doc=words.get(field.name, ""),
            )
        )
    return rows


def summary_of(cls: type) -> str:
    """Return the first sentence of a part's docstring."""
    return (inspect.getdoc(cls) or "").split("\n", maxsplit=1)[0]


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def _explain(cls: type, error: ValidationError, key: str) -> InvalidOption:
    errors = error.errors(include_url=False)
    first = errors[0]
    place, reasons = first["loc"], [first]
    if _takes_several_types(
        cls, place[:-1]
    ):  # pydantic gives a reason for each type, and its name ends the place
        place = place[:-1]
        reasons = [other for other in errors if other["loc"][:-1] == place]
    path = ".".join([key, *map(str, place)]) if key else ".".join(map(str, place))
    if first["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        owner = _owner(cls, first["loc"][:-1])
        names = [field.name for field in dataclasses.fields(owner)] if owner else []
        allowed = "one of the options " + ", ".join(names) if names else "no option at all"
        return InvalidOption(path, first["input"], allowed, nearest(str(first["loc"][-1]), names))
    if first["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return InvalidOption(path, None, "a value, it has no default")
    allowed = " or ".join(
        reason["msg"].removeprefix("Input should be ").removeprefix("Value error, ") for reason in reasons
    )
    expected = [reason["ctx"]["expected"] for reason in reasons if "expected" in reason.get("ctx", {})]
    hint = None
    if expected and isinstance(first["input"], str):
        choices = " or ".join(map(str, expected)).replace(" or ", ",").split(",")
        hint = nearest(first["input"], [choice.strip("' ") for choice in choices])
    return InvalidOption(path, first["input"], allowed, hint)


def _takes_several_types(cls: type, path: tuple[int | str, ...]) -> bool:
    owner = _owner(cls, path[:-1]) if path else None
    if owner is None:
        return False
    types = {field.name: field.type for field in dataclasses.fields(owner)}
    members = [member for member in get_args(types.get(str(path[-1]))) if member is not type(None)]
    return get_origin(types.get(str(path[-1]))) in {Union, UnionType} and len(members) > 1


def _owner(cls: type, path: tuple[int | str, ...]) -> type | None:
    owner: Any = cls
    for step in path:
        hints = (
            {field.name: field.type for field in dataclasses.fields(owner)}
            if dataclasses.is_dataclass(owner)
            else {}
        )
        owner = hints.get(str(step))
    return owner if isinstance(owner, type) and dataclasses.is_dataclass(owner) else None


def _words_for_type(entry: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        return str(entry["$ref"]).rsplit("/", maxsplit=1)[-1]
    if "anyOf" in entry:
        return " or ".join(_words_for_type(choice, schema) for choice in entry["anyOf"])
    if "enum" in entry:
        return " | ".join(str(choice) for choice in entry["enum"])
    if "const" in entry:
        return str(entry["const"])
    names = {
        "integer": "int",
        "number": "float",
        "string": "str",
        "boolean": "bool",
        "array": "list",
        "object": "mapping",
    }
    kind = str(entry.get("type", "any"))
    return names.get(kind, kind)


def _words_for_default(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        return str(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return str(field.default_factory())
    return "required"


def _words_for_range(entry: Mapping[str, Any]) -> str:
    for choice in entry.get("anyOf", ()):
        if words := _words_for_range(choice):
            return words
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {entry[name]}" for name, sign in signs.items() if name in entry)
