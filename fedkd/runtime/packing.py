"""Many records as few arrays: how contents and states travel between our own processes.

Records of the same form lie in one array for each of their entries, which Ray's object store gives to every process
without a copy; what comes out of it again are Flower records whose arrays look into it.

>>> [content] = unpack(pack([RecordDict({"arrays": ArrayRecord({"w": LocalArray(numbers)})})]))
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedkd.knowledge.arrays import LocalArray, filled, record_of

Form = tuple[tuple[str, type, tuple[tuple[str, str, tuple[int, ...]], ...]], ...]
"""For each record its name and type and, for arrays, the name, dtype and shape of each."""


@dataclass
class _Alike:
    """Contents of one form: a stack for each array, and the other records as plain mappings."""

    form: Form
    stacks: list[npt.NDArray[Any]] = field(default_factory=list)
    plain: list[list[dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class Packed:
    """Contents, packed.

    Args:
        groups: the contents by form.
        odd: contents that do not hold local arrays, as they are.
        places: for each content, its group and its row there; group -1 are the odd ones.
    """

    groups: Sequence[_Alike]
    odd: Sequence[RecordDict]
    places: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def num_bytes(self) -> int:
        """Size of the arrays."""
        return sum(stack.nbytes for group in self.groups for stack in group.stacks)


def pack(contents: Iterable[RecordDict]) -> Packed:
    """Pack contents; nothing of them is shared with the result."""
    forms: dict[Form, int] = {}
    members: list[list[RecordDict]] = []
    odd: list[RecordDict] = []
    places = []
    for content in contents:
        form = _form(content)
        if form is None:
            places.append((-1, len(odd)))
            odd.append(content)
            continue
        group = forms.setdefault(form, len(forms))
        if group == len(members):
            members.append([])
        places.append((group, len(members[group])))
        members[group].append(content)
    return Packed([_alike(form, members[group]) for form, group in forms.items()], odd, places)


def unpack(packed: Packed, rows: Iterable[int] | None = None) -> list[RecordDict]:
    """Return the packed contents, or some of them; their arrays look into the pack."""
    return [_content(packed, *packed.places[row]) for row in (range(len(packed)) if rows is None else rows)]


def _form(content: RecordDict) -> Form | None:
    form = []
    for name, record in content.items():
        arrays: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
        if isinstance(record, ArrayRecord):
            if not all(type(array) is LocalArray for array in record.values()):
                return None
            arrays = tuple((key, array.dtype, array.shape) for key, array in record.items())
        form.append((name, type(record), arrays))
    return tuple(form)


def _alike(form: Form, members: list[RecordDict]) -> _Alike:
    packed = _Alike(form)
    columns: list[list[npt.NDArray[Any]]] = [[] for _, _, arrays in form for _ in arrays]
    for content in members:
        rest = iter(columns)
        plain = []
        for record in content.values():
            if isinstance(record, ArrayRecord):
                for array in record.values():
                    assert isinstance(array, LocalArray)
                    next(rest).append(array.values)
            else:
                plain.append(dict(record))
        packed.plain.append(plain)
    packed.stacks = [np.stack(column) for column in columns]
    return packed


def _content(packed: Packed, group: int, row: int) -> RecordDict:
    if group < 0:
        return packed.odd[row]
    alike = packed.groups[group]
    stacks, plain = iter(alike.stacks), iter(alike.plain[row])
    records: dict[str, ArrayRecord | ConfigRecord | MetricRecord] = {}
    for name, kind, arrays in alike.form:
        if kind is ArrayRecord:
            records[name] = record_of({key: next(stacks)[row, ...] for key, _, _ in arrays})
        else:
            records[name] = filled(kind(), next(plain))
    return filled(RecordDict(), records)
