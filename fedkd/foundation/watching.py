"""Who watches a run: the live display of the command line, a notebook, or nobody."""

from collections.abc import Mapping
from typing import Protocol


class Watcher(Protocol):
    """What a run tells about itself, in the order of the calls below."""

    def start(self, total_rounds: int, clients_per_round: int, done: int = 0) -> None:
        """Begin; `done` rounds were finished before, by the run that is resumed."""

    def phase(self, round: int, name: str, total: int | None) -> None:  # noqa: A002  (the field's word)
        """Enter a phase of a round that has `total` steps, or an unknown number of them."""

    def advance(self, n: int = 1) -> None:
        """Count steps of the phase as done."""

    def round_done(self, round: int, values: Mapping[str, float], bytes_up: int, bytes_down: int) -> None:  # noqa: A002
        """Finish a round with its scores and the bytes that it moved."""

    def message(self, text: str) -> None:
        """Say something, above whatever is live."""

    def stop(self) -> None:
        """End, also after an error; may be called twice."""


class Silent:
    """Says nothing: for use as a library."""

    def start(self, total_rounds: int, clients_per_round: int, done: int = 0) -> None:
        """Do nothing."""

    def phase(self, round: int, name: str, total: int | None) -> None:  # noqa: A002
        """Do nothing."""

    def advance(self, n: int = 1) -> None:
        """Do nothing."""

    def round_done(self, round: int, values: Mapping[str, float], bytes_up: int, bytes_down: int) -> None:  # noqa: A002
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""
