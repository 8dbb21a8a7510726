"""Giving clients their fewest samples, in a bounded number of steps whatever was drawn."""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import Indices


@dataclass(frozen=True, eq=False)
class Pairs:
    """Who has what: `clients[i]` has the sample at position `samples[i]`; a sample may appear more than once."""

    clients: Indices
    samples: Indices


def move(owners: Indices, clients: int, minimum: int, generator: np.random.Generator) -> Indices:
    """Return owners such that each client has its minimum; the richest give, down to a common level.

    Samples without an owner are given away first. There must be at least `clients * minimum` samples.
    """
    sizes = np.bincount(owners[owners >= 0], minlength=clients)
    missing = np.maximum(minimum - sizes, 0)
    wanted = int(missing.sum())
    if wanted == 0:
        return owners
    free = generator.permutation(np.flatnonzero(owners < 0))[:wanted]
    gifts = np.concatenate([free, _from_richest(owners, sizes, minimum, wanted - len(free), generator)])
    repaired = owners.copy()
    repaired[gifts] = generator.permutation(np.repeat(np.arange(clients), missing))
    return repaired


def borrow(pairs: Pairs, pool: int, clients: int, minimum: int, generator: np.random.Generator) -> Pairs:
    """Return pairs such that each client has its minimum; what is missing is drawn from the whole pool, none twice a client."""
    sizes = np.bincount(pairs.clients, minlength=clients)
    ordered = pairs.samples[np.argsort(pairs.clients, kind="stable")]
    starts = np.cumsum(sizes) - sizes
    borrowers = np.flatnonzero(sizes < minimum)
    missing = minimum - sizes[borrowers]
    end = len(pairs.samples)
    # Filled in place: with very many borrowers each array is tens of megabytes.
    every = Pairs(*(np.empty(end + missing.sum(), dtype=np.int64) for _ in range(2)))
    every.clients[:end], every.samples[:end] = pairs.clients, pairs.samples
    for client, wanted in zip(borrowers, missing, strict=True):
        own = ordered[starts[client] : starts[client] + sizes[client]]
        drawn = generator.choice(pool, size=minimum, replace=False)
        loan = drawn[~np.isin(drawn, own)] if len(own) else drawn
        begin, end = end, end + wanted
        every.clients[begin:end], every.samples[begin:end] = client, loan[:wanted]
    return every


def _from_richest(
    owners: Indices, sizes: Indices, minimum: int, wanted: int, generator: np.random.Generator
) -> Indices:
    low, high = minimum, max(int(sizes.max()), minimum)
    while low < high:  # the highest level above which there is enough to give
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.maximum(sizes - middle, 0).sum() >= wanted else (low, middle - 1)
    gives = np.maximum(sizes - low, 0)
    shuffled = generator.permutation(np.flatnonzero(owners >= 0))
    shuffled = shuffled[np.argsort(owners[shuffled], kind="stable")]
    rank = np.arange(len(shuffled)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    given = shuffled[rank < np.repeat(gives, sizes)]
    return generator.permutation(given)[:wanted]
