"""A proxy set out of the clients' own distribution: a random part of the training pool, which no client gets."""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.data.proxies.base import Proxy, ProxyDraw
from fedkd.data.samples import Samples
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.foundation.seeding import Streams

USUAL = 400
"""Samples of a proxy set whose size is not given, where the training pool is large enough."""


@dataclass(frozen=True, kw_only=True)
class Heldout(Proxy):
    """A random part of the training pool, which no client gets."""

    size: Count | None = None
    "Number of samples, at most half of the training pool; empty takes 400, or a third of the pool where that is less."
    labelled: bool = True
    "Whether methods may use the true targets; if not, they serve diagnosis only."

    def check(self, data: DataSet, pool: int) -> None:
        """Refuse a size of more than half of the pool."""
        if not 1 <= self.count(pool) <= pool // 2:
            allowed = f"at most {pool // 2}, half of the training pool of data={data.name()}"
            raise InvalidOption("proxy.size", self.count(pool), allowed)

    def count(self, pool: int) -> int:
        """Return the size, or the usual one for this pool."""
        return min(USUAL, pool // 3) if self.size is None else self.size

    def taken(self, pool: int) -> int:
        """Return the size: every sample leaves the pool."""
        return self.count(pool)

    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        """Take a random part of the pool, in the order of ids."""
        del info
        taken = np.sort(streams.numpy("proxy").permutation(len(pool))[: self.count(len(pool))])
        return ProxyDraw(pool.take(taken), self.labelled, taken)
