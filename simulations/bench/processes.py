"""Processes of contestants: one thread each, ended with certainty, and weighed with everything that they started.

>>> run([sys.executable, "-c", "pass"], folder, weigh=True)
Ended(seconds=0.02, peak=9437184)
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOM = Path(__file__).parents[2]
"""The folder that holds `simulations`."""

INTERVAL = 0.2
"""Seconds between two weighings."""


class Broken(Exception):
    """A contestant ended with an error; the message has its last words."""


@dataclass(frozen=True)
class Ended:
    """How a process went: its whole time, and the largest memory of its tree in bytes (0 if it was not weighed)."""

    seconds: float
    peak: int


def run(
    command: Sequence[str], folder: Path, *, weigh: bool = False, threads: int = 1, limit: float = 1800.0
) -> Ended:
    """Run a command to its end with so many threads for PyTorch.

    Raises:
        Broken: it failed, or took longer than `limit` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    begun = time.perf_counter()
    with log.open("wb") as output:
        process = psutil.Popen(
            list(command),
            cwd=folder,
            env=environment(threads),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        scales = Scales(process) if weigh else None
        try:
            code = process.wait(limit)
        except psutil.TimeoutExpired:
            code = f"more than {limit:g} s"
        finally:
            seconds = time.perf_counter() - begun
            peak = scales.stop() if scales else 0
            _end(process)
    if code:
        words = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
        raise Broken(f"ended with {code}: {words[-400:]}")
    return Ended(seconds, peak)


def environment(threads: int = 1) -> dict[str, str]:
    """Return the environment of a contestant's process."""
    return os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "PYTHONPATH": str(ROOM),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "FLWR_TELEMETRY_ENABLED": "0",
    }


class Scales:
    """Weighs a process and everything below it, now and then, in a thread.

    The weight is the proportional set size: pages that several processes share count once.
    """

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._peak, self._over = process, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return the largest weight that was seen, in bytes."""
        self._over.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            self._peak = max(self._peak, weight(self._process))


def weight(process: psutil.Process) -> int:
    """Return the proportional set size of a process and its descendants in bytes."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        left = [process, *process.children(recursive=True)]
        for member in left:
            with contextlib.suppress(psutil.Error):
                member.kill()
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
