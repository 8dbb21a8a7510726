"""A toy grammar: letters, a separator, the same letters backwards, an end. What follows a prompt is known exactly.

Tasks of this kind tell how often a network that generates is wholly right; after the reversal of I. Sutskever, O. Vinyals and Q. V. Le,
"Sequence to Sequence Learning with Neural Networks", NeurIPS 2014, section 3.3, where it is done to the source sentences.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.foundation.errors import InvalidOption

MOST = 100_000
"""Strings that there may be."""


@dataclass(frozen=True, kw_only=True)
class Grammar(DataSet):
    """Every string of some letters, a separator, and the string backwards, which is what is asked for; nothing to fetch."""

    letters: Annotated[int, Field(ge=2, le=26)] = 6
    "Number of letters."
    length: Annotated[int, Field(ge=1, le=16)] = 4
    "Letters of a string; there are `letters ** length` strings, at most 100,000."

    task: ClassVar[Task] = "generation"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"tokens": (9,)}
    num_outputs = 8
    rows = 6**4
    class_names = (*"abcdef", "|", ".")
    symbols: ClassVar[Mapping[str, int]] = {"tokens": 8}
    prompt = 5
    origin = "made here"
    size = "1,296 strings of 4 letters, 8 symbols (or as options say)"
    licence = "none needed"

    def __post_init__(self) -> None:
        """State what letters and length make.

        Raises:
            InvalidOption: there would be too many strings.
        """
        rows = self.letters**self.length
        if rows > MOST:
            raise InvalidOption(
                "data.length",
                self.length,
                f"a number with at most {MOST:,} strings of data.letters={self.letters}",
            )
        names = (*string.ascii_lowercase[: self.letters], "|", ".")
        self.state(
            views={"tokens": (2 * self.length + 1,)},
            num_outputs=len(names),
            rows=rows,
            class_names=names,
            symbols={"tokens": len(names)},
            prompt=self.length + 1,
        )

    def read(self) -> Raw:
        """Return all strings in the order of the alphabet."""
        strings = np.indices((self.letters,) * self.length).reshape(self.length, -1).T
        separator, end = np.full((2, len(strings), 1), [[[self.letters]], [[self.letters + 1]]])
        whole = np.concatenate([strings, separator, strings[:, ::-1], end], axis=1)
        return Raw({"tokens": whole[:, :-1]}, whole[:, 1:])
