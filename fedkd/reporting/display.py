"""What a run says while it runs: a live panel on a terminal, one line a round elsewhere, nothing for a library.

>>> display = display_for(Console())
>>> display.start(total_rounds=20, clients_per_round=10)
>>> display.phase(1, "train", total=10)
>>> display.advance()
>>> display.round_done(1, {"student": 0.81, "ensemble": 0.84}, bytes_up=40_000, bytes_down=40_000)
>>> display.stop()
"""

import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fedkd.foundation.watching import Silent, Watcher
from fedkd.reporting.measures import size_words


class PlainDisplay(Silent):
    """Writes one line a round: for files, pipes and continuous integration.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._done = 0
        self._began = 0.0

    def start(self, total_rounds: int, clients_per_round: int, done: int = 0) -> None:
        """Say how long the run is."""
        self._total, self._done, self._began = total_rounds, done, time.monotonic()
        resumed = f", {done} of them done before" if done else ""
        self.message(f"{total_rounds} rounds of {clients_per_round} clients{resumed}")

    def round_done(self, round: int, values: Mapping[str, float], bytes_up: int, bytes_down: int) -> None:  # noqa: A002
        """Write the line of the round."""
        line = f"round {round:>{len(str(self._total))}}/{self._total}  {score_words(values)}"
        if bytes_up or bytes_down:
            line += f"  up {size_words(bytes_up)}  down {size_words(bytes_down)}"
        if self._done < round < self._total:
            left = (time.monotonic() - self._began) / (round - self._done) * (self._total - round)
            line += f"  {left:.0f} s left"
        self.message(line)

    def message(self, text: str) -> None:
        """Write a line, as long as it is."""
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


class LiveDisplay:
    """Keeps three lines at the foot of a terminal: rounds with the time left, clients of the phase, scores and bytes.

    Args:
        console: a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description:<18}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._rounds = self._progress.add_task("rounds", total=None)
        self._phase = self._progress.add_task("", total=None, visible=False)
        self._scores = Text(no_wrap=True, overflow="ellipsis")
        self._live = Live(Group(self._progress, self._scores), console=console, refresh_per_second=8)
        self._up = self._down = 0

    def start(self, total_rounds: int, clients_per_round: int, done: int = 0) -> None:
        """Show the lines."""
        self._progress.update(self._rounds, total=total_rounds, completed=done)
        self._scores.plain = f"{clients_per_round} clients a round"
        self._live.start()

    def phase(self, round: int, name: str, total: int | None) -> None:  # noqa: A002
        """Start the lower bar anew."""
        self._progress.reset(self._phase, description=f"round {round}: {name}", total=total, visible=True)

    def advance(self, n: int = 1) -> None:
        """Move the lower bar."""
        self._progress.advance(self._phase, n)

    def round_done(self, round: int, values: Mapping[str, float], bytes_up: int, bytes_down: int) -> None:  # noqa: A002
        """Move the upper bar, and show the scores of the round and all bytes so far."""
        self._up, self._down = self._up + bytes_up, self._down + bytes_down
        self._scores.plain = (
            f"{score_words(values)}  up {size_words(self._up)}  down {size_words(self._down)}"
        )
        self._progress.update(self._rounds, completed=round)

    def message(self, text: str) -> None:
        """Write a line above the live ones."""
        self._live.console.print(text, markup=False, highlight=False)

    def stop(self) -> None:
        """Leave the last state on the screen and give the terminal back."""
        self._progress.update(self._phase, visible=False)
        self._live.stop()


def display_for(console: Console) -> Watcher:
    """Return a live display for a terminal, and plain lines for anything else."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def score_words(values: Mapping[str, float]) -> str:
    """Return scores with their names, to three places."""
    return "  ".join(f"{name} {value:.3f}" for name, value in values.items())
