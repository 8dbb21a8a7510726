"""Whole numbers out of Parquet files, as pandas writes them with gzip: what two small data sets come in.

>>> read_columns(Path("cora_rels.parquet.gzip"), ("sourceNodeId", "targetNodeId"))
{'sourceNodeId': array([    35, ...]), 'targetNodeId': array([1033, ...])}

A library for all of Parquet is larger than everything else that fedkd installs beside PyTorch. Read are columns of 64-bit integers without
gaps, and columns of lists of them that all have the same length, in pages of the first version, plain or by a dictionary.

Source: the Apache Parquet format (https://parquet.apache.org/docs/file-format), and Thrift's compact protocol for what describes the pages.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.int64]
Fields = dict[int, Any]
"""What a Thrift structure says: number of the field -> value."""

_MAGIC = b"PAR1"
_INT64, _GZIP = 2, 2
_REQUIRED, _REPEATED = 0, 2
_DATA, _DICTIONARY = 0, 2
_PLAIN, _BY_DICTIONARY = 0, (2, 8)


def read_columns(path: Path, names: Sequence[str]) -> dict[str, Column]:
    """Return columns of a file by name: [rows], or [rows, length] for lists.

    Raises:
        ValueError: the file is no Parquet file, has no such column, or holds it in a form that is not read here.
    """
    content = path.read_bytes()
    if content[:4] != _MAGIC or content[-4:] != _MAGIC:
        raise ValueError(f"{path.name} is not a Parquet file")
    length = int.from_bytes(content[-8:-4], "little")
    footer = _Thrift(content[-8 - length : -8]).structure()
    levels = _levels(footer[2])
    found: dict[str, list[Column]] = {name: [] for name in names}
    for group in footer[4]:
        for chunk in group[1]:
            name = chunk[3][3][0].decode()
            if name in found:
                found[name].append(_chunk(content, chunk[3], levels[name]))
    missing = [name for name, chunks in found.items() if not chunks]
    if missing:
        raise ValueError(f"{path.name} has no column {', '.join(missing)}")
    rows = footer[3]
    columns = {name: np.concatenate(chunks) for name, chunks in found.items()}
    return {
        name: column if len(column) == rows else column.reshape(rows, -1) for name, column in columns.items()
    }


def _levels(schema: list[Fields]) -> dict[str, tuple[int, int]]:
    """Return for each column of the file how deep its repetition and its definition go."""
    found: dict[str, tuple[int, int]] = {}
    place = 1  # the first element is the table itself
    while place < len(schema):
        name, path = schema[place][4].decode(), [schema[place]]
        while path[-1].get(5):  # a list is a group of a group of its elements
            place += 1
            path.append(schema[place])
        repeated = sum(step.get(3, _REQUIRED) == _REPEATED for step in path)
        found[name] = repeated, sum(step.get(3, _REQUIRED) != _REQUIRED for step in path)
        place += 1
    return found


def _chunk(content: bytes, about: Fields, levels: tuple[int, int]) -> Column:
    """Return the values of a column in one group of rows."""
    if about[1] != _INT64 or about[4] != _GZIP:
        raise ValueError("only columns of 64-bit integers that are packed by gzip are read")
    place = min(about[9], about.get(11, about[9]))
    dictionary: Column | None = None
    values: list[Column] = []
    left = about[5]
    while left:
        reader = _Thrift(content, place)
        head = reader.structure()
        page = zlib.decompress(content[reader.place : reader.place + head[3]], wbits=31)
        place = reader.place + head[3]
        if head[1] == _DICTIONARY:
            dictionary = np.frombuffer(page, "<i8", head[7][1])
        elif head[1] == _DATA:
            values.append(_page(page, head[5], levels, dictionary))
            left -= head[5][1]
        else:
            raise ValueError(f"pages of kind {head[1]} are not read")
    return np.concatenate(values)


def _page(page: bytes, head: Fields, levels: tuple[int, int], dictionary: Column | None) -> Column:
    """Return the values of one page of data; nothing may be missing from it."""
    count, encoding = head[1], head[2]
    repetition, definition = levels
    at = 0
    for deepest, must_be_full in ((repetition, False), (definition, True)):
        if deepest:
            size = int.from_bytes(page[at : at + 4], "little")
            packed = page[at + 4 : at + 4 + size]
            if must_be_full and (_hybrid(packed, deepest.bit_length(), count) != deepest).any():
                raise ValueError("columns with gaps are not read")
            at += 4 + size
    if encoding == _PLAIN:
        return np.frombuffer(page, "<i8", count, at)
    if encoding not in _BY_DICTIONARY or dictionary is None:
        raise ValueError(f"the encoding {encoding} is not read")
    return dictionary[_hybrid(page[at + 1 :], page[at], count)]


def _hybrid(packed: bytes, width: int, count: int) -> Column:
    """Return numbers of some bits each, in runs of one number and in groups of eight that are packed bit by bit."""
    out, filled, reader = np.zeros(count, dtype=np.int64), 0, _Thrift(packed)
    while filled < count:
        run = reader.varint()
        if run & 1:
            size = (run >> 1) * width
            bits = np.frombuffer(reader.take(size), np.uint8)
            table = np.unpackbits(bits, bitorder="little").reshape(-1, width) if width else np.zeros((0, 0))
            some = (table @ (1 << np.arange(width, dtype=np.int64)))[: count - filled]
            out[filled : filled + len(some)] = some
            filled += len(some) if width else (run >> 1) * 8
        else:
            out[filled : filled + (run >> 1)] = int.from_bytes(reader.take((width + 7) // 8), "little")
            filled += run >> 1
    return out


class _Thrift:
    """Reads Thrift's compact protocol from some place on."""

    def __init__(self, content: bytes, place: int = 0) -> None:
        self.content, self.place = content, place

    def take(self, size: int) -> bytes:
        self.place += size
        return self.content[self.place - size : self.place]

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def integer(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def structure(self) -> Fields:
        said: Fields = {}
        number = 0
        while (head := self.take(1)[0]) != 0:
            number = number + (head >> 4) if head >> 4 else self.integer()
            said[number] = self.value(head & 15)
        return said

    def value(self, kind: int) -> Any:
        if kind in {1, 2}:
            return kind == 1
        readers = {
            3: lambda: self.take(1)[0],
            **dict.fromkeys((4, 5, 6), self.integer),
            7: lambda: self.take(8),
            8: lambda: self.take(self.varint()),
            9: self.sequence,
            12: self.structure,
        }
        if kind not in readers:
            raise ValueError(f"Thrift's kind {kind} is not read")
        return readers[kind]()

    def sequence(self) -> list[Any]:
        (head,) = self.take(1)
        size = head >> 4 if head >> 4 < 15 else self.varint()
        return [self.value(head & 15) for _ in range(size)]
