"""Prices of round-cut diamonds.

Source: H. Wickham, "ggplot2: Elegant Graphics for Data Analysis", Springer 2009; collected from diamondse.info, 2008.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets._numbers import NumberSet
from fedkd.data.datasets.base import Raw
from fedkd.data.sources import PyPI, UserFolder, Web

MEASURES = ("carat", "depth", "table", "x", "y", "z")
GRADES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": tuple("DEFGHIJ"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}


def _decode(folder: Path) -> Arrays:
    """Decode the table: six measures, then a 0/1 column for each grade of cut, colour and clarity; the price apart."""
    with (folder / "diamonds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measures = np.array([[float(row[name]) for name in MEASURES] for row in rows])
    grades = [
        np.array([[row[name] == grade for grade in known] for row in rows]) for name, known in GRADES.items()
    ]
    if not all((one.sum(axis=1) == 1).all() for one in grades):
        raise ValueError("a diamond has an unknown grade")
    return {
        "features": np.concatenate([measures, *grades], axis=1).astype(np.float64),
        "price": np.array([float(row["price"]) for row in rows]),
    }


ARCHIVE = Archive(
    name="diamonds",
    files=("diamonds.csv",),
    sources=(
        UserFolder("diamonds"),
        PyPI("plotnine", "plotnine/data"),
        Web("https://raw.githubusercontent.com/tidyverse/ggplot2/main/data-raw"),
    ),
    decode=_decode,
    sha256="92aee9cbfe2dd6f09ae4887219cc5cece889d48de5f718c85a22a0a096588df9",
)


@dataclass(frozen=True, kw_only=True)
class Diamonds(NumberSet):
    """Logarithm of the price in dollars of 53,940 diamonds from their measures and grades."""

    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"features": (26,)}
    rows = 53_940
    origin = "PyPI package plotnine, or the repository of ggplot2 (3 MB)"
    size = "53,940 x 26, one number"
    licence = "MIT"
    archive = ARCHIVE
    shares_with = frozenset({"diamonds_grades"})

    def read(self) -> Raw:
        """Return the diamonds in the table's order; prices span three decades, so the target is their logarithm."""
        arrays = load(ARCHIVE)
        return Raw({"features": arrays["features"]}, np.log(arrays["price"].astype(np.float64)))
