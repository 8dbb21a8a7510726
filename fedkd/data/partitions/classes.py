"""A fixed number of classes a client.

Source: the "C=k" label skew of Q. Li, Y. Diao, Q. Chen and B. He, "Federated Learning on Non-IID Data Silos: An
Experimental Study", ICDE 2022, section 4.1. Differs: classes are dealt so that none is left out while clients suffice.
"""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import DataSet, Indices
from fedkd.data.partitions.base import GroupPartitioner
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count


@dataclass(frozen=True, kw_only=True)
class Classes(GroupPartitioner):
    """Every client gets samples of so many classes; each class is shared evenly by the clients that have it.

    Where all clients together cannot hold every class, the samples of the others are left out. Where the repair of a
    client without samples moves one to it, that one may be of a further class.
    """

    classes_per_client: Count = 2
    "Classes a client has; at most as many as there are."
    clusters: Count | None = None
    "Groups of clients that have the same classes, one client after the other in turn; empty gives each client classes of its own."

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse more classes a client than there are classes, and more clusters than clients."""
        super().check(data, pool, clients)
        if self.clusters is not None and self.clusters > clients:
            raise InvalidOption("partition.clusters", self.clusters, f"at most the {clients} clients")
        if self.classes_per_client > (known := self.groups(data)):
            what = "partition.bins" if data.targets.numbers else f"the classes of {data.name()}"
            raise InvalidOption(
                "partition.classes_per_client", self.classes_per_client, f"at most {known}, {what}"
            )

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Deal classes to clients, then the samples of each class to those that have it."""
        present, number = np.unique(groups, return_inverse=True)
        groups_of_clients = self.clusters or clients
        held = self._deal(len(present), groups_of_clients, generator)[np.arange(clients) % groups_of_clients]
        owners = np.full(len(groups), -1, dtype=np.int64)
        sizes = np.zeros(clients, dtype=np.int64)
        for one in generator.permutation(len(present)):
            holders = generator.permutation(np.flatnonzero((held == one).any(axis=1)))
            samples = generator.permutation(np.flatnonzero(number == one))
            if len(holders) == 0:
                continue
            poorest_first = holders[
                np.argsort(sizes[holders], kind="stable")
            ]  # so that the odd samples go to them
            owners[samples] = poorest_first[np.arange(len(samples)) % len(holders)]
            sizes += np.bincount(owners[samples], minlength=clients)
        return owners

    def _deal(self, classes: int, clients: int, generator: np.random.Generator) -> Indices:
        """Return [clients, classes_per_client] classes: decks of all classes, each shuffled and dealt round until it is used up."""
        each = min(self.classes_per_client, classes)
        per_deck = -(-classes // each)
        decks = generator.permuted(np.tile(np.arange(classes), (-(-clients // per_deck), 1)), axis=1)
        client = np.arange(clients)[:, None]
        cards = ((client % per_deck) * each + np.arange(each)) % classes
        return np.asarray(decks[client // per_deck, cards])
