"""No proxy set, for methods that do not need one."""

from dataclasses import dataclass

from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.data.proxies.base import NOTHING_TAKEN, Proxy, ProxyDraw
from fedkd.data.samples import Samples
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, kw_only=True)
class NoProxy(Proxy):
    """No proxy set."""

    def check(self, data: DataSet, pool: int) -> None:
        """Refuse nothing."""

    def count(self, pool: int) -> int:
        """Return 0."""
        del pool
        return 0

    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        """Return nothing."""
        del info, pool, streams
        return ProxyDraw(None, labelled=False, taken=NOTHING_TAKEN)
