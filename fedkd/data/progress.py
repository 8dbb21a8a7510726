"""What a download shows while it lasts: a rich line on a terminal, nothing where there is none.

>>> with showing("fashion_mnist", visible=True) as progress:
...     progress.say("apt-get download")
"""

import contextlib
from collections.abc import Iterator
from typing import Protocol


class Bar(Protocol):
    """The progress bar that pooch drives: `total` is set first, then bytes are added."""

    total: int

    def update(self, amount: int) -> None:
        """Add this many bytes."""

    def reset(self) -> None:
        """Go back to zero bytes."""

    def close(self) -> None:
        """Stop showing the bar."""


class Progress(Protocol):
    """Where a source says what it is doing."""

    def say(self, text: str) -> None:
        """Show what is being done now."""

    def bar(self, name: str) -> Bar:
        """Return a bar for the download of one file."""


@contextlib.contextmanager
def showing(title: str, *, visible: bool) -> Iterator[Progress]:
    """Show the progress of a fetch on stderr while the block runs, if that is a terminal.

    Args:
        title: name of what is fetched.
        visible: False shows nothing even on a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Lines

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Lines(
        *columns, console=console, transient=True, disable=not (visible and console.is_terminal)
    ) as lines:
        task = lines.add_task(title, total=None)

        class Line:
            def say(self, text: str) -> None:
                lines.update(task, description=f"{title}: {text}", total=None, completed=0)

            def bar(self, name: str) -> Bar:
                self.say(name)
                return FileBar()

        class FileBar:
            total = 0

            def update(self, amount: int) -> None:
                lines.update(task, total=self.total, advance=amount)

            def reset(self) -> None:
                lines.reset(task)

            def close(self) -> None:
                lines.update(task, total=None)

        yield Line()
