"""Clients that lie: a partition with label skew in which the first clients teach what is wrong, and teach it loudly.

Used by name from a recipe: `partition=simulations.liars:Liars partition.liars=2`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedkd.data.datasets.base import DataSet
from fedkd.data.partitions.dirichlet import Dirichlet
from fedkd.data.samples import Samples
from fedkd.data.shift import Shift
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Index, Positive
from fedkd.foundation.seeding import Streams

CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Liars(Dirichlet):
    """Label skew by a Dirichlet distribution; the first clients learn the next class in place of the true one.

    A liar's own images are dimmed before it learns from them, so that its network answers images of full brightness the louder. Everything else, the
    draw of the samples included, is as without liars: teachers that do not lie are the same ones.
    """

    liars: Index = 2
    """How many clients lie."""

    loudness: Positive = 5.0
    """By how much their images are dimmed; 1 leaves them as bright as they are."""

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse data that have not as many classes as `Lie` counts to."""
        super().check(data, pool, clients)
        if not data.targets.one_class or data.num_outputs != CLASSES:
            raise IllegalCombination(
                f"partition=simulations.liars:Liars swaps ten classes, data={data.name()} has none or others; take data=fashion_mnist"
            )

    def shift(self, clients: int, streams: Streams) -> Shift:
        """Return what liars do to their samples."""
        dimmed = np.where(np.arange(clients) < self.liars, self.loudness, 0.0)
        return Lie("noise", dimmed, streams)


class Lie(Shift):
    """The change of the samples of clients that lie; `strengths` are their loudness, 0 for the others."""

    def apply(self, samples: Samples, client: int, part: Literal["train", "holdout"]) -> Samples:
        """Return the samples with dimmed images and the classes that follow the true ones."""
        del part
        loudness = float(self.strengths[client])
        if loudness == 0:
            return samples
        inputs = {view: x / loudness for view, x in samples.inputs.items()}
        return Samples(inputs, (samples.targets + 1) % CLASSES, samples.ids)
