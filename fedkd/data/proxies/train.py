"""A proxy set that is the training pool itself: what a central student learns on beside its teachers."""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.data.proxies._pairs import check_shuffled, shuffled
from fedkd.data.proxies.base import NOTHING_TAKEN, Proxy, ProxyDraw
from fedkd.data.samples import Samples
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, kw_only=True)
class Train(Proxy):
    """The training pool, or a random part of it; clients keep all of their samples, so nothing here is private."""

    size: Count | None = None
    "Number of samples; empty takes the whole pool."
    labelled: bool = True
    "Whether methods may use the true targets; if not, they serve diagnosis only."
    shuffled_views: bool = False
    "Deal each view anew among the samples, so that views of one sample no longer belong together: the control of cross-modal distillation."

    def check(self, data: DataSet, pool: int) -> None:
        """Refuse more samples than there are, and views that cannot be shuffled."""
        if self.shuffled_views:
            check_shuffled(data, labelled=self.labelled)
        if self.count(pool) > pool:
            raise InvalidOption(
                "proxy.size", self.size, f"at most {pool}, the training pool of data={data.name()}"
            )

    def count(self, pool: int) -> int:
        """Return the size, or that of the pool."""
        return pool if self.size is None else self.size

    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        """Take a random part of the pool, in the order of ids; nothing leaves it."""
        del info
        drawn = np.sort(streams.numpy("proxy").permutation(len(pool))[: self.count(len(pool))])
        samples = pool.take(drawn)
        return ProxyDraw(
            shuffled(samples, streams) if self.shuffled_views else samples, self.labelled, NOTHING_TAKEN
        )
