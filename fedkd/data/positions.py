"""Which samples each of many clients has: one array for all of them, so that a client costs four bytes a sample and eight of its own.

>>> positions = Positions.of([np.array([3, 5]), np.array([0])])
>>> positions[1]
array([0])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from fedkd.data.datasets.base import Indices

_SMALL = 2**31
"""Positions below this fit into four bytes."""


@dataclass(frozen=True, eq=False)
class Positions(Sequence[Indices]):
    """The positions of each client, as a sequence of arrays that are made when they are asked for.

    Args:
        flat: the positions of all clients, one client after the other; held in four bytes each where they fit.
        begins: where each client's begin, and at last where those of the last one end.
    """

    flat: npt.NDArray[np.integer[Any]]
    begins: Indices

    def __post_init__(self) -> None:
        if self.flat.dtype == np.int64 and (not len(self.flat) or int(self.flat.max()) < _SMALL):
            object.__setattr__(self, "flat", self.flat.astype(np.int32))

    @classmethod
    def of(cls, each: Sequence[Indices]) -> "Positions":
        """Return the same positions in this form."""
        if isinstance(each, Positions):
            return each
        ends = np.cumsum([0, *map(len, each)], dtype=np.int64)
        return cls(np.concatenate(each) if len(each) else np.empty(0, np.int64), ends)

    @property
    def sizes(self) -> Indices:
        """How many positions each client has."""
        return np.diff(self.begins)

    def __len__(self) -> int:
        return len(self.begins) - 1

    @overload
    def __getitem__(self, client: int) -> Indices: ...

    @overload
    def __getitem__(self, client: slice) -> tuple[Indices, ...]: ...

    def __getitem__(self, client: int | slice) -> Indices | tuple[Indices, ...]:
        if isinstance(client, slice):
            return tuple(self[one] for one in range(*client.indices(len(self))))
        place = range(len(self))[client]
        return self.flat[self.begins[place] : self.begins[place + 1]].astype(np.int64)
