"""Cutting samples by shares."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fedkd.data.datasets.base import Indices

Shares = npt.NDArray[Any]


def cut(shares: Shares, samples: int) -> Indices:
    """Return the owner of each of so many samples in a row, cut at the running sum of shares, rounded.

    Args:
        shares: [clients] non-negative, summing to 1.
        samples: how many samples are cut.
    """
    ends = np.rint(np.cumsum(shares)[:-1] * samples).astype(np.int64)
    ends = np.concatenate([[0], np.clip(ends, 0, samples), [samples]])
    return np.repeat(np.arange(len(shares)), np.diff(ends))


def dirichlet(concentration: Shares, generator: np.random.Generator) -> Shares:
    """Return one draw of a Dirichlet distribution, its limits at very small and very large concentrations included."""
    drawn = generator.dirichlet(concentration)
    if np.isfinite(drawn).all() and drawn.sum() > 0:
        return np.asarray(drawn / drawn.sum())
    relative = concentration / concentration.max()
    return np.asarray(relative / relative.sum())  # the gammas overflowed: the distribution is a point


def capped(shares: Shares, sizes: Indices, cap: float) -> Shares:
    """Return shares without the clients that already hold `cap` samples, summing to 1 again."""
    open_ = np.where(sizes < cap, shares, 0.0)
    if (total := open_.sum()) > 0:
        return np.asarray(open_ / total)
    below = (sizes < cap).astype(np.float64)  # the whole share was with clients that are full
    return below / below.sum() if below.any() else np.full(len(shares), 1 / len(shares))
