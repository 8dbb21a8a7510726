"""Which samples each of many clients has: one array for all of them, so that a client costs eight bytes beside its samples.

>>> positions = Positions.of([np.array([3, 5]), np.array([0])])
>>> positions[1]
array([0])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from fedkd.data.datasets.base import Indices


@dataclass(frozen=True, eq=False)
class Positions(Sequence[Indices]):
    """The positions of each client, as a sequence of arrays that are made when they are asked for.

    Args:
        flat: the positions of all clients, one client after the other.
        begins: where each client's begin, and at last where those of the last one end.
    """

    flat: Indices
    begins: Indices

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
        return self.flat[self.begins[place] : self.begins[place + 1]]
