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
    """Every client is an owner of samples: a speaker, a user. Owners are drawn at random from those with enough samples.

    Samples of an owner whom the test data is of (`data=digit_domains`) are with no client.
    """

    merge: bool = False
    "Where there are more owners than clients. false: the samples of owners that were not drawn are left out; true: all owners are dealt round, so that a client is several of them."

    drawn: bool = True
    "Whether clients are owners at random; false takes the first owners in the order of the data, so that client k is the k-th."

    by_owner: ClassVar[bool] = True

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse data that does not know who owns what, and more clients than owners."""
        super().check(data, pool, clients)
        if not data.owners:
            raise IllegalCombination(
                f"partition=natural needs data that says whose a sample is, and data={data.name()} does not; choose another partition"
            )
        if clients > (most := data.owners - (data.target_owner is not None)):
            raise InvalidOption("clients", clients, f"at most {most}, the owners in {data.name()}")

    def seen(self, info: DataInfo, train: Samples) -> npt.NDArray[Any]:
        """Return the owners, -1 for the one whom the test data is of."""
        assert train.owners is not None, "the check before loading asks for owners"
        owners = train.owners.numpy()
        return owners if info.target_owner is None else np.where(owners == info.target_owner, -1, owners)

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Make clients of owners.

        Raises:
            InvalidOption: fewer owners than clients have enough samples in this pool.
        """
        present, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
        least = 1 if self.merge or self.empty != "error" else self.minimum
        enough = np.flatnonzero((sizes >= least) & (present >= 0))
        if self.empty == "error" and clients > len(enough):
            allowed = f"at most {len(enough)}, the owners with partition.minimum={self.minimum} or more samples in this training pool"
            raise InvalidOption("clients", clients, allowed)
        client = np.full(len(present), -1, dtype=np.int64)
        order = generator.permutation(enough) if self.drawn else enough
        drawn = order[: None if self.merge else clients]
        client[drawn] = np.arange(len(drawn)) % clients
        return client[number]
