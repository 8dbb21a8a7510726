"""Nine men say two Japanese vowels: series of 12 cepstrum coefficients.

Source: M. Kudo, J. Toyama and M. Shimbo, "Multidimensional Curve Classification Using Passing-Through Regions", Pattern
Recognition Letters 20, 1999.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets._identities import Identities
from fedkd.data.datasets.base import Raw
from fedkd.data.sources import PyPI, UserFolder
from fedkd.foundation.options import OpenFraction

CHANNELS, LONGEST, SPEAKERS = 12, 29, 9
FILES = ("JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts")  # the authors' test part comes last


def _decode(folder: Path) -> Arrays:
    """Decode lines of channels between colons, the numbers of a channel between commas, and the speaker, from 1, at last."""
    series, lengths, speakers = [], [], []
    for name in FILES:
        lines = (folder / name).read_text().partition("@data\n")[2].split()
        for line in lines:
            *channels, speaker = line.split(":")
            known = np.array([[float(one) for one in channel.split(",")] for channel in channels])
            padded = np.zeros((CHANNELS, LONGEST), dtype=np.float32)
            padded[:, : known.shape[1]] = known
            series.append(padded)
            lengths.append(known.shape[1])
            speakers.append(int(speaker) - 1)
    return {
        "series": np.stack(series),
        "lengths": np.array(lengths, dtype=np.uint8),
        "speakers": np.array(speakers, dtype=np.uint8),
    }


ARCHIVE = Archive(
    name="japanese_vowels",
    files=FILES,
    sources=(UserFolder("japanese_vowels"), PyPI("aeon", "aeon/datasets/data/JapaneseVowels")),
    decode=_decode,
    sha256="3d15cc15f14654339343009ae087dee6830dc7ef3487a4fe33856c8b5383b4ea",
)


@dataclass(frozen=True, kw_only=True)
class JapaneseVowels(Identities):
    """Utterances of nine speakers, 12 coefficients over 7 to 29 steps, padded with 0; test speakers are never heard in training.

    With data.unseen=false the authors' test part is the test part.
    """

    validation: OpenFraction = 0.2
    "Share kept for choosing; of nine speakers two, since with one there is nobody to be told apart."

    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"series": (CHANNELS, LONGEST), "length": ()}
    num_outputs = people = SPEAKERS
    rows = 640
    test_rows = 370
    each = 54
    class_names = tuple(str(one + 1) for one in range(SPEAKERS))
    symbols: ClassVar[Mapping[str, int]] = {"length": LONGEST + 1}
    owners = SPEAKERS
    origin = "PyPI package aeon (6 MB)"
    size = "270 + 370 series of 12 x (7 to 29), 9 speakers"
    licence = "UCI, CC BY 4.0; package BSD-3-Clause"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the authors' training part, then their test part, each in its own order and unit."""
        arrays = load(ARCHIVE)
        views = {"series": arrays["series"], "length": arrays["lengths"]}
        return Raw(views, arrays["speakers"], owners=arrays["speakers"])
