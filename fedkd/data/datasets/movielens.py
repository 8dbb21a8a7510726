"""MovieLens-100k: which of 1,682 films 943 people rated, one after the other.

Source: F. Harper and J. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5, 2015. That somebody rated a film counts, and
not how. Many users gave several ratings in one second; those keep the order of the file, on which figures for the last film depend.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets._interactions import Interactions
from fedkd.data.datasets.base import Indices
from fedkd.data.sources import PyPI, UserFolder


def _decode(folder: Path) -> Arrays:
    """Decode users and films, by user and time."""
    with (folder / "ml-100k.inter").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    user, item, _, time = np.array([[float(cell) for cell in row] for row in rows]).T
    order = np.lexsort((time, user))  # stable: ratings of one second keep the order of the file
    return {"user": user[order].astype(np.int64) - 1, "item": item[order].astype(np.int64) - 1}


ARCHIVE = Archive(
    name="movielens",
    files=("ml-100k.inter",),
    sources=(UserFolder("movielens"), PyPI("recbole", "recbole/dataset_example/ml-100k")),
    decode=_decode,
    sha256="51946834b7fdbfc052bdbdc1538f7db6b520ff889817b9bd4b2cca4179238e26",
)


@dataclass(frozen=True, kw_only=True)
class MovieLens(Interactions):
    """100,000 films that 943 users rated; which film comes next, of those that the user has not rated yet."""

    num_outputs = 1682
    rows = 100_000
    owners = 943
    longest = 736
    origin = "PyPI package recbole (2 MB)"
    size = "100,000 ratings, 943 users x 1,682 films"
    licence = "GroupLens: research, no redistribution without leave, cite the paper"
    archive = ARCHIVE

    def taken(self) -> tuple[Indices, Indices]:
        """Return the ratings by user and time."""
        arrays = load(ARCHIVE)
        return arrays["user"].astype(np.int64), arrays["item"].astype(np.int64)
