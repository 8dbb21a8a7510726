"""Ctrl-C in the middle of a run over Ray: it stops soon, leaves no process, and can be continued to the same bytes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fedkd

Uninterrupted = Callable[..., Path]
Outcome = Callable[..., dict[str, object]]

MARK = "FEDKD_TEST_INTERRUPTED"
OVERRIDES = ("method=dsfl", "rounds=24")
SECONDS = 10.0
"""How long stopping may take on a busy machine; on an idle one it is two."""


@pytest.fixture
def interrupted(
    small: tuple[str, ...], processes_with: Callable[[str, str], list[int]], tmp_path: Path
) -> Iterator[subprocess.Popen[str]]:
    """Press Ctrl-C, which reaches every process of the terminal, when a run is in its third round or later."""
    folder = tmp_path / "run"
    ray = ("runtime=ray", "runtime.num_actors=2", f"output={folder}")
    command = [sys.executable, "-m", "fedkd.cli", "run", *small, *OVERRIDES, *ray]
    environment = {**os.environ, MARK: str(os.getpid()), "OMP_NUM_THREADS": "1"}
    with (
        (tmp_path / "said.txt").open("w") as said,
        subprocess.Popen(
            command, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            await_(lambda: rounds_of(folder) > 2 or process.poll() is not None, 120.0)
            assert len(processes_with(MARK, str(os.getpid()))) > 3  # Ray and its workers
            os.killpg(process.pid, signal.SIGINT)
            yield process
        finally:
            process.kill()


def test_ctrl_c_stops_a_run_over_ray_within_seconds_and_it_can_be_continued_to_the_same_bytes(
    interrupted: subprocess.Popen[str],
    processes_with: Callable[[str, str], list[int]],
    uninterrupted: Uninterrupted,
    outcome: Outcome,
    ray_instance: None,  # noqa: ARG001  (carries what is left of the run)
    tmp_path: Path,
) -> None:
    begun = time.monotonic()
    assert interrupted.wait(60) == 130
    await_(lambda: not processes_with(MARK, str(os.getpid())), 60.0)
    assert time.monotonic() - begun < SECONDS
    folder = tmp_path / "run"
    said = (tmp_path / "said.txt").read_text()
    assert said.splitlines()[-1] == f"fedkd: stopped; continue with `fedkd resume {folder}`"
    assert "Traceback" not in said
    assert 2 < rounds_of(folder) < 25
    fedkd.resume(folder)
    assert outcome(folder) == outcome(uninterrupted(*OVERRIDES))


def rounds_of(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b'"failures"') if metrics.exists() else 0


def await_(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
