"""Flower's arrays, without the work of serialising what never leaves this machine.

>>> array = LocalArray(np.zeros((2, 3), np.float32))
>>> array.numpy().shape, len(array.data)
((2, 3), 152)
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from torch import Tensor

Record = TypeVar("Record", ArrayRecord, ConfigRecord, MetricRecord, RecordDict)


class LocalArray(Array):
    """An `Array` that holds numbers; its bytes are made when somebody asks for them.

    Args:
        values: not copied if their memory is in order; whoever made them must leave them as they are.
    """

    def __init__(self, values: npt.NDArray[Any]) -> None:
        # Not one by one: Flower's Array notes every change of its fields, which costs more than the rest.
        self.__dict__.update(
            values=np.asarray(values, order="C"),
            dtype=_name_of(values.dtype),
            shape=tuple(values.shape),
            stype="numpy.ndarray",
        )

    values: npt.NDArray[Any]

    @property
    def data(self) -> bytes:
        """The bytes that Flower's own `Array` would hold."""
        return _header(self.values.dtype, self.shape) + self.values.tobytes()

    @data.setter
    def data(self, _: bytes) -> None:
        raise AttributeError("the numbers of a LocalArray stay what they are; make another one")

    def numpy(self) -> npt.NDArray[Any]:
        """Return the numbers in memory of their own, as Flower's own `Array` does."""
        return np.array(self.values)

    def deflate(self) -> bytes:
        """Return how Flower's own `Array` goes over a wire: the receiver knows no other."""
        return Array(self.values).deflate()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and (self.dtype, self.shape, self.stype, self.data) == (
            other.dtype,
            other.shape,
            other.stype,
            other.data,
        )

    __hash__ = None  # type: ignore[assignment]  # as Flower's own, which is a dataclass that can be changed

    def __reduce__(self) -> tuple[Callable[[npt.NDArray[Any]], "LocalArray"], tuple[npt.NDArray[Any]]]:
        return LocalArray, (self.values,)


@functools.lru_cache(maxsize=1024)
def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return what stands before the numbers of an array with this dtype and shape, which NumPy would put together anew for each."""
    whole = np.zeros(shape, dtype)
    return Array(whole).data[: -whole.nbytes or None]


@functools.cache
def _name_of(dtype: np.dtype[Any]) -> str:
    """Return the name of a dtype, which NumPy puts together anew at each look."""
    return str(dtype)


def record_of(arrays: Mapping[str, npt.NDArray[Any]]) -> ArrayRecord:
    """Return a record of local arrays; Flower's constructor would serialise each of them."""
    return filled(ArrayRecord(), {name: LocalArray(values) for name, values in arrays.items()})


def filled(record: Record, entries: Mapping[str, object]) -> Record:
    """Put entries into a new record without Flower's look at each: they have been in a record of this kind before, or are ours."""
    record.__dict__["_data"].update(entries)
    return record


def copied(records: RecordDict) -> RecordDict:
    """Return records that can be changed in place, lists of numbers and words in them too; arrays are shared, whose numbers are copied when they are read."""
    own = RecordDict({name: record.copy() for name, record in records.items()})
    for record in own.values():
        if not isinstance(record, ArrayRecord):
            entries = record.__dict__["_data"]
            entries.update({key: [*value] for key, value in entries.items() if isinstance(value, list)})
    return own


def arrays_in(content: RecordDict, name: str) -> ArrayRecord | None:
    """Return the arrays that stand under a name, if they do; `content.array_records` copies all of them at every look."""
    record = content.get(name)
    return record if isinstance(record, ArrayRecord) else None


def numbers_of(array: Array) -> npt.NDArray[Any]:
    """Return the numbers of an array without copying them where that can be avoided; not to be written to."""
    return array.values if isinstance(array, LocalArray) else array.numpy()


def size_of(array: Array) -> int:
    """Return how many bytes the numbers of an array take."""
    if isinstance(array, LocalArray):
        return array.values.nbytes
    return math.prod(array.shape) * np.dtype(array.dtype).itemsize


def tensor_of(array: Array) -> Tensor:
    """Return the numbers of an array as a tensor in memory of its own."""
    return torch.from_numpy(np.array(numbers_of(array)))
