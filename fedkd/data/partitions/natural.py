"""Clients as the data has them: a client is a speaker, a user, a book.

Source: S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018, where the clients of Shakespeare are the roles.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fedkd.data.datasets.base import DataInfo, DataSet, Indices
from fedkd.data.partitions.base import Partitioner
from fedkd.data.samples import Samples
from fedkd.foundation.errors import IllegalCombination, InvalidOption


@dataclass(frozen=True, kw_only=True)
class Natural(Partitioner):
    """Every client is an owner of samples: a speaker, a user. Owners are drawn at random from those with enough samples."""

    merge: bool = False
    "Where there are more owners than clients. false: the samples of owners that were not drawn are left out; true: all owners are dealt round, so that a client is several of them."

    by_owner: ClassVar[bool] = True

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse data that does not know who owns what, and more clients than owners."""
        super().check(data, pool, clients)
        if not data.owners:
            raise IllegalCombination(
                f"partition=natural needs data that says whose a sample is, and data={data.name()} does not; choose another partition"
            )
        if clients > data.owners:
            raise InvalidOption("clients", clients, f"at most {data.owners}, the owners in {data.name()}")

    def seen(self, info: DataInfo, train: Samples) -> npt.NDArray[Any]:
        """Return the owners."""
        del info
        assert train.owners is not None, "the check before loading asks for owners"
        return train.owners.numpy()

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Make clients of owners.

        Raises:
            InvalidOption: fewer owners than clients have enough samples in this pool.
        """
        present, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        enough = np.flatnonzero(sizes >= (1 if self.merge or self.empty != "error" else self.minimum))
        if self.empty == "error" and clients > len(enough):
            allowed = f"at most {len(enough)}, the owners with partition.minimum={self.minimum} or more samples in this training pool"
            raise InvalidOption("clients", clients, allowed)
        client = np.full(len(present), -1, dtype=np.int64)
        drawn = generator.permutation(enough)[: None if self.merge else clients]
        client[drawn] = np.arange(len(drawn)) % clients
        return client[number]
