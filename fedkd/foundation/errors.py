"""Errors that a user can act on: each is one line that names the key, the value, what is allowed and what to do.

>>> raise InvalidOption("partition.alpha", -1, "a number > 0")
Traceback (most recent call last):
fedkd.foundation.errors.InvalidOption: partition.alpha: got -1, allowed is a number > 0
"""

import difflib
from collections.abc import Iterable


class FedkdError(Exception):
    """Base of every error that fedkd raises on purpose; the command line prints it as one line and exits with 2."""

    exit_code = 2


class InvalidOption(FedkdError):
    """An option of a recipe or of the command line that cannot be taken.

    Args:
        key: dotted path of the option, as it is written on the command line.
        given: the value that was given.
        allowed: what would be taken, in words.
        nearest: the right name that is closest to what was given, if there is one.
    """

    def __init__(self, key: str, given: object, allowed: str, nearest: str | None = None) -> None:
        self.key, self.given, self.allowed, self.nearest = key, given, allowed, nearest
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"{key}: got {given!r}, allowed is {allowed}{hint}")


class IllegalCombination(FedkdError):
    """Options that are each fine and cannot work together."""


class DataUnavailable(FedkdError):
    """A data set that no source could deliver, or whose bytes are not what they should be."""

    exit_code = 3


class RunFolderError(FedkdError):
    """A run folder that cannot be created, read, or resumed."""

    exit_code = 4


class RuntimeUnavailable(FedkdError):
    """A runtime that is not installed, cannot be started or reached, or has too little for one worker."""

    exit_code = 6


class RoundFailed(FedkdError):
    """A round in which too few clients gave a usable answer; the run folder is intact and resumable."""

    exit_code = 5


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like the one given, or None when nothing is close."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return matches[0] if matches else None
