"""Sums and means that grow by one term at a time, and whose result does not depend on the order of the terms.

>>> mean = RunningMean()
>>> for client in clients:
...     mean.add(client.arrays, weight=client.size)
>>> mean.result()
{'head.weight': array([...], dtype=float32), ...}
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Doubles = npt.NDArray[np.float64]

BLOCK = 16_384
"""Numbers that are added at once: what an addition touches then stays in the processor's cache."""


class Sum:
    """A sum of vectors of float64, kept to twice that precision: what each addition rounds off is summed up beside it.

    Its error is about 2^-106 of the largest partial sum, so that the order of the terms is lost when the result is rounded to
    float64, and all the more to float32.

    Args:
        size: how many numbers a term has.

    Source: the addition without error is that of Knuth, The Art of Computer Programming 2, section 4.2.2, theorem B.
    """

    def __init__(self, size: int) -> None:
        self._high, self._low = np.zeros(size), np.zeros(size)
        self._scratch = np.empty((3, min(size, BLOCK)))

    def add(self, term: Doubles) -> None:
        """Add a vector; it is only read."""
        for start in range(0, term.size, BLOCK):
            block = slice(start, start + BLOCK)
            self._add(self._high[block], self._low[block], term[block])

    def result(self) -> Doubles:
        """Return the sum of what was added so far."""
        return self._high + self._low

    def _add(self, high: Doubles, low: Doubles, term: Doubles) -> None:
        total, seen, lost = self._scratch[:, : term.size]
        np.add(high, term, out=total)
        np.subtract(total, high, out=seen)  # as much of the term as the total has taken up
        np.subtract(total, seen, out=lost)
        np.subtract(high, lost, out=lost)
        np.subtract(term, seen, out=seen)
        np.add(lost, seen, out=lost)
        np.add(low, lost, out=low)
        high[...] = total


class RunningMean:
    """The weighted mean of named arrays, such as the weights of networks; of all that was added only the sum is held."""

    def __init__(self) -> None:
        self._weight = 0
        self._sum, self._term = Sum(0), np.empty(0)
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._views: dict[str, Doubles] = {}

    def add(self, arrays: Mapping[str, Array], weight: int) -> None:
        """Count arrays of the names and shapes of the first ones; they are only read, and not kept."""
        if not self._views:
            self._lay_out(arrays)
        for name, view in self._views.items():
            array = arrays[name]
            if array.dtype != self._dtypes[name]:
                self._dtypes[name] = np.result_type(array.dtype, self._dtypes[name])
            view[...] = array
        self._term *= weight
        self._sum.add(self._term)
        self._weight += weight

    def result(self) -> dict[str, Array]:
        """Return the mean of each array in its own precision, that of whole numbers as float64; nothing of nothing."""
        if not self._views:
            return {}
        self._term[...] = self._sum.result() / self._weight
        return {
            name: view.astype(self._dtypes[name] if self._dtypes[name].kind == "f" else np.float64)
            for name, view in self._views.items()
        }

    def _lay_out(self, arrays: Mapping[str, Array]) -> None:
        size = sum(array.size for array in arrays.values())
        self._sum, self._term = Sum(size), np.empty(size)
        start = 0
        for name, array in arrays.items():
            self._dtypes[name] = array.dtype
            self._views[name] = self._term[start : start + array.size].reshape(array.shape)
            start += array.size
