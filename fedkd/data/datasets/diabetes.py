"""Progression of diabetes after one year, embedded in scikit-learn.

Source: B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least Angle Regression", Annals of Statistics 32, 2004.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fedkd.data.datasets._numbers import NumberSet
from fedkd.data.datasets.base import Raw
from fedkd.data.embedded import embedded


@dataclass(frozen=True, kw_only=True)
class Diabetes(NumberSet):
    """Progression of diabetes (25 to 346) from ten measurements of 442 patients; nothing to fetch."""

    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"features": (10,)}
    rows = 442
    origin = "embedded in scikit-learn"
    size = "442 x 10, one number"
    licence = "scikit-learn is BSD-3-Clause"

    def read(self) -> Raw:
        """Return the patients in scikit-learn's order, in the units of the study."""
        return Raw({"features": embedded("diabetes_data_raw")}, embedded("diabetes_target"))
