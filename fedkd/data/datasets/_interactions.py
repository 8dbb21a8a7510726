"""What people took, one thing after the other: a sample is what is known of a user at some time, and the item that came next.

The last item of each user is for testing and the one before for choosing, as in X. He et al., "Neural Collaborative Filtering", WWW 2017,
section 4.1. Here all items are ranked and none are drawn, after W. Krichene and S. Rendle, "On Sampled Metrics for Item Recommendation",
KDD 2020.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedkd.data.datasets.base import DataSet, Indices, Numbers, Raw, Sizes, Split, Task
from fedkd.foundation.options import Count
from fedkd.foundation.seeding import Streams

BITS = 62
"""Items that one number of `seen` tells of."""


@dataclass(frozen=True, kw_only=True)
class Interactions(DataSet, ABC):
    """Base of sets of users and the items that they took, each at most once; the shares `validation` and `test` are not used.

    `history` holds the user's last items before the target, the latest last, after places of the number behind all items; `user` is the
    user. Where a history cannot hold all that somebody took, `seen` says of each item whether it was taken before, bit by bit.
    """

    history: Count = 20
    "Items that are known of a user as a list, the latest ones."

    task: ClassVar[Task] = "ranking"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"history": (20,), "user": ()}
    split_is_fixed = True
    longest: ClassVar[int]
    "The most items that a user took before another one."

    def __post_init__(self) -> None:
        """State the views, which depend on the length of the history."""
        views: dict[str, tuple[int, ...]] = {"history": (self.history,), "user": ()}
        symbols = {"history": self.num_outputs + 1, "user": self.owners}
        if self.history < self.longest:
            views["seen"] = (-(-self.num_outputs // BITS),)
            symbols["seen"] = 2**BITS
        self.state(views=views, symbols=symbols)

    @abstractmethod
    def taken(self) -> tuple[Indices, Indices]:
        """Return user and item of each row, all rows of a user one after the other in their order.

        Raises:
            DataUnavailable: the set is not on this machine and no source delivers it.
        """

    def read(self) -> Raw:
        """Return a row for each item that somebody took, with what was known before."""
        user, item = self.taken()
        views: dict[str, Numbers] = {"history": _histories(user, item, self.history, self.num_outputs)}
        views["user"] = user
        if "seen" in self.views:
            views["seen"] = _seen(user, item, self.views["seen"][0])
        return Raw(views, item, owners=user)

    def whole(self) -> Sizes:
        """Return a row of each user for choosing, one for testing, and the rest."""
        return Sizes(self.rows - 2 * self.owners, self.owners, self.owners)

    def split(self, raw: Raw, streams: Streams) -> Split:
        """Return the last row of each user as test part, and the one before as validation part."""
        del streams
        assert raw.owners is not None
        last = np.flatnonzero(np.diff(raw.owners, append=self.owners))
        rest = np.setdiff1d(np.arange(self.rows), np.concatenate([last, last - 1]))
        return Split(rest, last - 1, last)


def _starts(user: Indices) -> Indices:
    """Return for each row the first row of its user."""
    begins = np.diff(user, prepend=-1) != 0
    starts: Indices = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    return starts


def _histories(user: Indices, item: Indices, length: int, nothing: int) -> Indices:
    """Return the items before each row, the latest last; `nothing` stands in places that are left over."""
    rows = np.arange(len(item))
    before = rows[:, None] - np.arange(length, 0, -1)
    return np.where(before >= _starts(user)[:, None], item[np.maximum(before, 0)], nothing)


def _seen(user: Indices, item: Indices, words: int) -> Indices:
    """Return for each row the bits of all items before it: a sum, since nobody takes an item twice."""
    bits = np.zeros((len(item) + 1, words), dtype=np.int64)
    rows = np.arange(len(item))
    bits[rows + 1, item // BITS] = 1 << (item % BITS)
    np.cumsum(bits, axis=0, out=bits)  # may run over; differences are right all the same
    return bits[rows] - bits[_starts(user)]
