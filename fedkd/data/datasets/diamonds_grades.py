"""Grades of round-cut diamonds: three classifications of the same stone.

Source: H. Wickham, "ggplot2: Elegant Graphics for Data Analysis", Springer 2009; collected from diamondse.info, 2008.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import numpy as np

from fedkd.data.archive import load
from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.datasets.diamonds import ARCHIVE, GRADES, MEASURES, Diamonds


@dataclass(frozen=True, kw_only=True)
class DiamondsGrades(DataSet):
    """Cut, colour and clarity of 53,940 diamonds from their measures and the logarithm of their price."""

    task: ClassVar[Task] = "multitask_classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"features": (7,)}
    heads: ClassVar[Mapping[str, tuple[str, ...]]] = GRADES
    num_outputs = 8
    rows = 53_940
    shares_with = frozenset({"diamonds"})
    origin = Diamonds.origin
    size = "53,940 x 7, a class of 5, of 7 and of 8"
    licence = Diamonds.licence
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the diamonds in the table's order; classes are in the order of `heads`, cut from the worst, clarity too."""
        arrays = load(ARCHIVE)
        measures, marks = np.split(arrays["features"].astype(np.float64), [len(MEASURES)], axis=1)
        price = np.log(arrays["price"].astype(np.float64))
        ends = list(accumulate(len(grades) for grades in GRADES.values()))
        classes = [part.argmax(axis=1) for part in np.split(marks, ends[:-1], axis=1)]
        return Raw({"features": np.column_stack([measures, price])}, np.column_stack(classes))
