"""What a proxy set is: samples that everyone may look at, and the positions they leave in the training pool."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedkd.data.datasets.base import DataInfo, DataSet, Indices
from fedkd.data.samples import Samples
from fedkd.foundation.parts import Part
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, eq=False)
class ProxyDraw:
    """A proxy set that was drawn.

    Args:
        samples: the set; None where there is none. Its ids are unique within it.
        labelled: whether methods may use its targets. Where not, known targets are kept for diagnosis only.
        taken: positions in the training pool that were taken for it, and that no client gets.
    """

    samples: Samples | None
    labelled: bool
    taken: Indices


NOTHING_TAKEN: Indices = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Proxy(Part, ABC):
    """Base of proxy sets."""

    @abstractmethod
    def check(self, data: DataSet, pool: int) -> None:
        """Refuse what cannot work, before anything is loaded.

        Args:
            data: the data set of the clients.
            pool: size of its training pool.

        Raises:
            InvalidOption: the set cannot have this size.
            IllegalCombination: its samples cannot be fed to the models of this data set.
        """

    @abstractmethod
    def count(self, pool: int) -> int:
        """Return how many samples the proxy set will have, for a training pool of this size."""

    def taken(self, pool: int) -> int:
        """Return how many samples leave a training pool of this size."""
        del pool
        return 0

    @abstractmethod
    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        """Return the proxy set; draws from the stream `proxy`.

        Args:
            info: the data set of the clients.
            pool: its training pool.
            streams: the random streams of the run.
        """


def unknown_targets(info: DataInfo, count: int) -> Tensor:
    """Return targets that say nothing: -1 for classes and items [N], symbols [N, T] and heads [N, heads], NaN for numbers [N, numbers]."""
    shape = (count, *info.target_shape)
    return torch.full(shape, float("nan")) if info.targets.numbers else torch.full(shape, -1)
