"""Tables that lie inside scikit-learn, read without importing it: importing takes a second, which each run on them would begin with.

>>> embedded("digits", delimiter=",").shape
(1797, 65)
"""

from importlib.metadata import distribution

import numpy as np
from numpy.typing import NDArray


def embedded(name: str, *, delimiter: str | None = None) -> NDArray[np.float64]:
    """Return the numbers of a table, in scikit-learn's order.

    Args:
        name: the table is `NAME.csv.gz`.
        delimiter: what stands between two numbers; none is white space.
    """
    place = distribution("scikit-learn").locate_file(f"sklearn/datasets/data/{name}.csv.gz")
    return np.loadtxt(str(place), delimiter=delimiter)
