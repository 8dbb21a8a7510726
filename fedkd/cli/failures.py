"""What goes wrong becomes one line on the error stream and an exit code."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import typer

from fedkd.foundation.errors import FedkdError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

DEBUG = "FEDKD_DEBUG"
"""Environment variable; if set, errors that nobody foresaw keep their traceback."""


class Interrupted(Exception):
    """The user stopped a run that can be continued; not an error of the run, whose folder therefore stays."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"stopped; continue with `fedkd resume {folder}`")


class OneLeftOut(FedkdError):
    """Several things were to be done, and not all of them could be."""

    exit_code = 1


def in_one_line(command: Callable[[], Any]) -> int:
    """Call a command and return its exit code.

    Args:
        command: returns an exit code, or anything else for 0.
    """
    try:
        with _short_warnings():
            code = command()
    except click.ClickException as error:
        place = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "fedkd"
        return say(f"{error.format_message().rstrip('. ')}. See `{place} --help`", error.exit_code)
    except FedkdError as error:
        return say(str(error), error.exit_code)
    except Interrupted as error:
        return say(str(error), INTERRUPTED)
    except (click.Abort, KeyboardInterrupt):
        return say("stopped", INTERRUPTED)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return say(unforeseen(error), 1)
    return code if isinstance(code, int) else 0


def say(text: str, code: int) -> int:
    """Write one line on the error stream, whatever line breaks the text has, and return the code."""
    typer.echo(f"fedkd: {' '.join(text.split())}", err=True)
    return code


def unforeseen(error: Exception) -> str:
    """Return what to say about an error of the system, or one that is a fault of fedkd or of a plug-in."""
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}: {error} (unforeseen; set {DEBUG}=1 for the traceback)"


@contextmanager
def _short_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = _show
        yield


def _show(message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"fedkd: warning: {' '.join(str(message).split())}\n")
