"""Every client sees the same pool: central teachers, which are clients that all have the data.

They may differ in what they are taught: in the classes that each knows, in the tasks, in how much it sees, in how many labels are wrong.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedkd.data.datasets.base import DataSet, Indices
from fedkd.data.partitions.base import GroupPartitioner
from fedkd.data.relabelling import Relabelling, Wrong
from fedkd.data.shift import Change
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.options import Count, Index, OpenFraction, Share
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, kw_only=True)
class Shared(GroupPartitioner):
    """Every client gets the whole pool, or those samples of it that are of its classes; nothing is dealt out."""

    holdout: OpenFraction = 0.0
    "Share of a client's samples that it keeps for its own evaluation, rounded; none, since others train on them."
    classes: tuple[tuple[Index, ...], ...] = ()
    "Classes of each client, and round again for further clients: `[[0,1,2,3,4],[5,6,7,8,9]]`; empty is all for everyone."
    share: Share = 1.0
    "Share of the pool that clients see, the same part for all."
    per_class: Count | None = None
    "Samples of each class that clients see, the same for all, in place of a share: few labels, as many of each. Empty is all."
    noise: Share | tuple[Share, ...] = 0.0
    "Share of wrong labels among what a client trains on: one for all, or `[0,0,1]` for each, round again for further clients."
    wrong: Wrong = "next_class"
    "What wrong labels are: next_class: the next of the client's classes, which makes it sure and wrong; shuffled: labels of its other samples; shifted: numbers that are one standard deviation too large."

    shares_samples: ClassVar[bool] = True

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse classes that the data does not have, empty lists, two sizes, the next class of a number, and the shift of a class."""
        del clients  # as many as one likes: nothing is used up
        if self.minimum > pool:
            raise InvalidOption("partition.minimum", self.minimum, f"at most {pool}, the number of samples")
        known = self.groups(data)
        if self.per_class is not None and self.share < 1.0:
            raise IllegalCombination(
                "partition.per_class and partition.share both say how much clients see; leave one of them out"
            )
        self.check_heads(data)
        if data.heads and (self.classes or self.per_class is not None):
            raise IllegalCombination(
                f"partition.classes and partition.per_class are about one class a sample, data={data.name()} has several; "
                "leave them out, or take partition.heads"
            )
        for some in self.classes:
            if not some or max(some) >= known:
                raise InvalidOption(
                    "partition.classes",
                    list(some),
                    f"at least one class from 0 to {known - 1} for each client",
                )
        if self.noise == ():
            raise InvalidOption("partition.noise", [], "one share, or a list with at least one")
        meant = {"next_class": data.targets.one_class, "shifted": data.targets.numbers}
        if self._noisy and not meant.get(self.wrong, True):
            about = "numbers" if self.wrong == "shifted" else "classes"
            raise IllegalCombination(
                f"partition.wrong={self.wrong} is about {about}, data={data.name()} has {data.targets.are}; take partition.wrong=shuffled"
            )

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Return a row for each client: itself for every sample that it sees."""
        seen = np.zeros(len(groups), dtype=bool)
        order = generator.permutation(len(groups))
        if self.per_class is None:
            seen[order[: max(round(self.share * len(groups)), self.minimum)]] = True
        else:
            for one in np.unique(groups):
                seen[order[groups[order] == one][: self.per_class]] = True
        sees = np.tile(seen, (clients, 1))
        for client in range(clients if self.classes else 0):
            sees[client] &= np.isin(groups, self.classes[client % len(self.classes)])
        return np.where(sees, np.arange(clients)[:, None], -1)

    def shift(self, clients: int, streams: Streams) -> Change | None:
        """Return the labels of each client, where some are wrong."""
        shares = self.noise if isinstance(self.noise, tuple) else (self.noise,)
        wrong = [shares[client % len(shares)] for client in range(clients)]
        return Relabelling(self.wrong, wrong, streams) if self._noisy else None

    @property
    def _noisy(self) -> bool:
        return any(self.noise) if isinstance(self.noise, tuple) else self.noise > 0
