"""Clients of unequal size: log-normal sizes, classes as in the pool."""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import Indices
from fedkd.data.partitions._shares import cut
from fedkd.data.partitions.base import Partitioner
from fedkd.foundation.options import NonNegative


@dataclass(frozen=True, kw_only=True)
class Quantity(Partitioner):
    """Every client gets a random part of the pool; sizes follow a log-normal distribution."""

    sigma: NonNegative = 1.0
    "Standard deviation of the logarithm of the sizes; 0 makes them equal, at 1 a client of ten has over 3.6 times the median."

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Cut a shuffled pool by log-normal shares."""
        exponents = self.sigma * generator.standard_normal(clients)
        weights = np.exp(exponents - exponents.max())
        return generator.permutation(cut(weights / weights.sum(), len(groups)))
