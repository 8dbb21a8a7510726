"""Keep a private home of Flower's: when whoever started this process is gone, end all that lives there and delete it.

Flower's processes watch those that started them, but not all of Ray's do, and a run that is killed cannot tidy up. So
each home has a keeper of its own: it holds one end of a pipe and waits until the other end is closed.

    python -m fedkd.runtime.flower_keeper HOME
"""

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

GRACE_SECONDS = 10.0
"""How long a process may take to end after it was asked to."""


def members(home: Path) -> list[int]:
    """Return the processes that live in a home or below it; empty where the system has no `/proc` to ask.

    Without `/proc` only what Flower itself does is left: each of its processes watches the one that started it.
    """
    mark = f"FLWR_HOME={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if any(entry.startswith(mark) for entry in (folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found


def end_members(home: Path) -> None:
    """Wait until nothing lives in a home any more, and kill what has not gone in time."""
    deadline = time.monotonic() + GRACE_SECONDS
    while left := members(home):
        if time.monotonic() > deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def main() -> None:
    """Wait for the end of standard input, then clear the home named by the first argument."""
    home = Path(sys.argv[1])
    sys.stdin.buffer.read()
    end_members(home)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
