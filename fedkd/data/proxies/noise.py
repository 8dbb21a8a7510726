"""A proxy set of noise: how far distillation gets when the public data says nothing of the task."""

from dataclasses import dataclass

import torch

from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.data.proxies.base import NOTHING_TAKEN, Proxy, ProxyDraw, unknown_targets
from fedkd.data.samples import Samples
from fedkd.foundation.options import Count
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, kw_only=True)
class Noise(Proxy):
    """Noise of the shape of the data: uniform in [0, 1] for images, standard normal for tables, any symbol for symbols; never labelled."""

    size: Count = 400
    "Number of samples."

    def check(self, data: DataSet, pool: int) -> None:
        """Refuse nothing: noise has any shape and size."""

    def count(self, pool: int) -> int:
        """Return the size."""
        del pool
        return self.size

    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        """Draw each view, in the order of their names; ids are 0 to size - 1."""
        del pool
        generator = streams.torch("proxy")
        draws = {True: torch.rand, False: torch.randn}
        inputs = {
            name: torch.randint(info.symbols[name], (self.size, *shape), generator=generator)
            if name in info.symbols
            else draws[len(shape) == 3]((self.size, *shape), generator=generator)
            for name, shape in sorted(info.views.items())
        }
        samples = Samples(inputs, unknown_targets(info, self.size), torch.arange(self.size))
        return ProxyDraw(samples, labelled=False, taken=NOTHING_TAKEN)
