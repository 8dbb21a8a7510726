"""Label skew by a Dirichlet distribution, in the variants that papers mean by "Dirichlet alpha". They differ: name yours.

- `per_class`: each class is cut among all clients by a draw of Dir(alpha). M. Yurochkin et al., "Bayesian
  Nonparametric Federated Learning of Neural Networks", ICML 2019.
- `per_class_capped`: the same, but a client that already holds its even share N / K takes no part in the cut of the
  next class; sizes stay within sight of each other. The code of NIID-Bench (Q. Li et al., ICDE 2022) and of PFLlib.
- `per_class_capped_groups`: the capped cut among groups of ten clients, each of which first gets a random part of the
  pool. The code of FedDF (T. Lin et al., "Ensemble Distillation for Robust Model Fusion in Federated Learning", NeurIPS 2020).
- `per_client`: clients of equal size, each draws its class shares from Dir(alpha x class shares of the pool). T.-M. H.
  Hsu, H. Qi and M. Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
  Classification", 2019 (https://arxiv.org/abs/1909.06335).

The capped codes draw again until every client has 10 samples, which need not end; here the draw is repaired instead
(set `minimum` to 10 for theirs), and each class is cut in another order of the clients, so that rounding evens out.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedkd.data.datasets.base import Indices
from fedkd.data.partitions._shares import Shares, capped, cut, dirichlet
from fedkd.data.partitions.base import GroupPartitioner
from fedkd.foundation.options import Positive

GROUP = 10
"""Clients in a group of FedDF's code."""


@dataclass(frozen=True, kw_only=True)
class Dirichlet(GroupPartitioner):
    """Label skew by a Dirichlet distribution, in one of four variants of the literature."""

    alpha: Positive = 0.5
    "Concentration: near 0 a client has one class, towards infinity every client has the classes of the pool."
    variant: Literal["per_class", "per_class_capped", "per_class_capped_groups", "per_client"] = "per_class"
    "per_class: each class cut among clients (Yurochkin 2019); per_class_capped: full clients sit out (NIID-Bench, PFLlib); per_class_capped_groups: that among groups of ten (FedDF); per_client: equal sizes, class shares a client (Hsu 2019)."

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Deal by the variant."""
        if self.variant == "per_client":
            return self._per_client(groups, clients, generator)
        if self.variant == "per_class_capped_groups":
            return self._in_groups(groups, clients, generator)
        return self._per_class(groups, clients, generator, cap=self.variant == "per_class_capped")

    def _per_class(
        self, groups: Indices, clients: int, generator: np.random.Generator, *, cap: bool
    ) -> Indices:
        owners = np.full(len(groups), -1, dtype=np.int64)
        sizes = np.zeros(clients, dtype=np.int64)
        for one in np.unique(groups):
            samples = generator.permutation(np.flatnonzero(groups == one))
            shares = dirichlet(np.full(clients, self.alpha), generator)
            if cap:
                shares = capped(shares, sizes, len(groups) / clients)
            order = generator.permutation(clients)
            owners[samples] = order[cut(shares[order], len(samples))]
            sizes += np.bincount(owners[samples], minlength=clients)
        return owners

    def _in_groups(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        owners = np.full(len(groups), -1, dtype=np.int64)
        firsts = np.arange(0, clients, GROUP)
        members = np.minimum(clients - firsts, GROUP)
        parts = np.split(generator.permutation(len(groups)), np.cumsum(members)[:-1] * len(groups) // clients)
        for first, count, part in zip(firsts, members, parts, strict=True):
            owners[part] = first + self._per_class(groups[part], int(count), generator, cap=True)
        return owners

    def _per_client(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        present, number, left = np.unique(groups, return_inverse=True, return_counts=True)
        stock = [generator.permutation(np.flatnonzero(number == one)) for one in range(len(present))]
        used = np.zeros(len(present), dtype=np.int64)
        prior = left / max(len(groups), 1)
        sizes = np.bincount(np.arange(len(groups)) % clients, minlength=clients)
        owners = np.full(len(groups), -1, dtype=np.int64)
        for client in generator.permutation(clients):
            taken = _take(
                dirichlet(self.alpha * prior, generator), int(sizes[client]), left - used, generator
            )
            for one in np.flatnonzero(taken):
                owners[stock[one][used[one] : used[one] + taken[one]]] = client
            used += taken
        return owners


def _take(shares: Shares, wanted: int, left: Indices, generator: np.random.Generator) -> Indices:
    """Return how many of each class a client takes; classes that run out drop out, so there are at most as many steps as classes."""
    taken = np.zeros_like(left)
    while (missing := wanted - int(taken.sum())) > 0:
        rest = left - taken
        open_ = np.where(rest > 0, shares, 0.0)
        if open_.sum() <= 0:
            open_ = rest.astype(np.float64)
        taken += np.minimum(generator.multinomial(missing, open_ / open_.sum()), rest)
    return taken
