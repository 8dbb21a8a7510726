"""LastFM: which of 17,632 artists 1,883 people listen to most, up to fifty each.

Source: I. Cantador, P. Brusilovsky and T. Kuflik, "2nd Workshop on Information Heterogeneity and Fusion in Recommender Systems",
RecSys 2011 (https://grouplens.org/datasets/hetrec-2011). When somebody first listened is not known, so that artists have an order of their
own, drawn once for all: the last one is any one.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets._interactions import Interactions
from fedkd.data.datasets.base import Indices
from fedkd.data.parquet import read_columns
from fedkd.data.sources import PyPI, UserFolder
from fedkd.foundation.options import Count
from fedkd.foundation.seeding import Streams

FEWEST = 3
"""Artists that a user must listen to: one to test on, one to choose by, one to learn from. Nine people have fewer, and are left out."""


def _decode(folder: Path) -> Arrays:
    """Decode users and artists, by user; artists of a user in an order that is drawn."""
    ends = ("sourceNodeId", "targetNodeId")
    read = read_columns(folder / "user_listen_artist_rels.parquet.gzip", ends)
    person, artist = (np.unique(read[end], return_inverse=True)[1] for end in ends)
    order = Streams(0).numpy("order of artists").permutation(len(person))
    order = order[np.argsort(person[order], kind="stable")]
    person, artist = person[order], artist[order]
    enough = np.bincount(person)[person] >= FEWEST
    user = np.unique(person[enough], return_inverse=True)[1]
    return {"user": user.astype(np.int64), "item": artist[enough].astype(np.int64)}


ARCHIVE = Archive(
    name="lastfm",
    files=("user_listen_artist_rels.parquet.gzip",),
    sources=(UserFolder("lastfm"), PyPI("graphdatascience", "graphdatascience/resources/lastfm")),
    decode=_decode,
    sha256="66551c0f77cae95839a386505624d6cd7e56d134b4014cff3be481ece6f8f402",
)


@dataclass(frozen=True, kw_only=True)
class LastFM(Interactions):
    """92,824 pairs of a listener and an artist; which artist comes next, of those that the listener does not know yet."""

    history: Count = 49
    "Artists that are known of a user as a list; 49 are all that anybody has."

    num_outputs = 17_632
    rows = 92_824
    owners = 1883
    longest = 49
    origin = "PyPI package graphdatascience (2 MB)"
    size = "92,824 listeners' artists, 1,883 users x 17,632 artists"
    licence = "GroupLens: research, no redistribution without leave, cite the paper; package Apache-2.0"
    archive = ARCHIVE

    def taken(self) -> tuple[Indices, Indices]:
        """Return the artists by user, in an order that was drawn once."""
        arrays = load(ARCHIVE)
        return arrays["user"].astype(np.int64), arrays["item"].astype(np.int64)
