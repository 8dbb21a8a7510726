"""Independent and identically distributed clients: the pool is shuffled and dealt round."""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import Indices
from fedkd.data.partitions.base import Partitioner


@dataclass(frozen=True, kw_only=True)
class Iid(Partitioner):
    """Every client gets a random part of the pool; sizes differ by one sample at most."""

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Deal a shuffled pool round."""
        return generator.permutation(np.arange(len(groups)) % clients)
