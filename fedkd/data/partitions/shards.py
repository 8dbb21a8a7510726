"""Shards of samples sorted by class.

Source: B. McMahan, E. Moore, D. Ramage, S. Hampson and B. Aguera y Arcas, "Communication-Efficient Learning of Deep
Networks from Decentralized Data", AISTATS 2017, section 3: MNIST sorted by digit, 200 shards of 300, 2 a client.
"""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import Indices
from fedkd.data.partitions.base import GroupPartitioner
from fedkd.foundation.options import Count


@dataclass(frozen=True, kw_only=True)
class Shards(GroupPartitioner):
    """The pool is sorted by class and cut into shards of equal size; every client gets as many at random."""

    shards_per_client: Count = 2
    "Shards a client gets; 2 gives most clients two classes."

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Deal the shards of the sorted pool; within a class the order is random."""
        shuffled = generator.permutation(len(groups))
        by_class = shuffled[np.argsort(groups[shuffled], kind="stable")]
        shards = clients * self.shards_per_client
        owner_of_shard = generator.permutation(np.repeat(np.arange(clients), self.shards_per_client))
        owners = np.empty(len(groups), dtype=np.int64)
        owners[by_class] = owner_of_shard[np.arange(len(groups)) * shards // max(len(groups), 1)]
        return owners
