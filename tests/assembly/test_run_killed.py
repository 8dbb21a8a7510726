"""`kill -9` of whole runs, at moments drawn at random; then resumed, to the last byte as if nothing had happened."""

import contextlib
import ctypes
import functools
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

import fedkd

pytestmark = pytest.mark.xdist_group("killed")
Uninterrupted = Callable[..., Path]
Outcome = Callable[..., dict[str, object]]

MARK = "FEDKD_TEST_KILLED"
KEEPING = {
    "dsfl": (),
    "fedgems": (
        "method.client.digest.epochs=1",
        "method.distiller.fit.epochs=1",
    ),  # its server keeps a pool of logits, too
}


@pytest.fixture(scope="module")
def left_over(processes_with: Callable[[str, str], list[int]]) -> Callable[[], list[int]]:
    """Find what was started for these tests and has not ended, besides Python's server of forks and Ray's agents.

    Ray's agents first report the end of their node, for which they wait a minute if there is nobody left to report it to.
    """

    def find() -> list[int]:
        return [pid for pid in processes_with(MARK, str(os.getpid())) if not is_expected(pid)]

    return find


@pytest.fixture(scope="module")
def processes(left_over: Callable[[], list[int]]) -> Iterator[ForkServerContext]:
    """Start processes by forking one that has imported everything, so that a kill costs no start of Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, str(os.getpid()))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["fedkd.assembly.run", "fedkd.runtime.ray_grid"])
        forkserver.ensure_running()
    yield context
    forkserver._forkserver._stop()
    assert left_over() == []


@pytest.fixture
def nothing_left(left_over: Callable[[], list[int]]) -> Iterator[Callable[[], bool]]:
    """Say whether all has ended that was started, and bury what killed processes leave behind.

    Ray's workers end when their raylet has, and one that nobody has buried still counts as running. That is left to the first
    process of a machine, which may take a minute, or in a container never do it.
    """
    adopt = functools.partial(ctypes.CDLL(None).prctl, 36)  # PR_SET_CHILD_SUBREAPER

    def look() -> bool:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        return not left_over()

    adopt(1)
    yield look
    adopt(0)


@pytest.mark.parametrize("method", KEEPING)
def test_five_kills_at_random_moments_change_no_byte(
    method: str,
    processes: ForkServerContext,
    small: tuple[str, ...],
    uninterrupted: Uninterrupted,
    outcome: Outcome,
    tmp_path: Path,
) -> None:
    overrides = (f"method={method}", *KEEPING[method], "rounds=8")
    expected = outcome(uninterrupted(*overrides))
    begun = time.monotonic()
    finish(processes, tmp_path / "timed", *small, *overrides)
    whole = time.monotonic() - begun
    delays = random.Random(method)
    folder = tmp_path / "run"
    rounds_at_kill = []
    while len(rounds_at_kill) < 5:
        process = begin(processes, folder, *small, *overrides)
        process.join(delays.uniform(0.0, whole))
        if process.exitcode is None:
            process.kill()
            process.join()
            rounds_at_kill.append(rounds_of(folder))
        else:  # it was quicker than the kill: compare, and begin anew
            assert process.exitcode == 0
            assert outcome(folder) == expected
            shutil.rmtree(folder)
    finish(processes, folder, *small, *overrides)
    assert outcome(folder) == expected
    assert max(rounds_at_kill) > 0


def test_killing_the_driver_of_ray_ends_its_workers_and_changes_no_byte(
    processes: ForkServerContext,
    small: tuple[str, ...],
    uninterrupted: Uninterrupted,
    outcome: Outcome,
    nothing_left: Callable[[], bool],
    tmp_path: Path,
) -> None:
    overrides = ("method=dsfl", "rounds=8")
    folder = tmp_path / "run"
    ray = (*small, *overrides, "runtime=ray", "runtime.num_actors=1")
    process = begin(processes, folder, *ray)
    await_(lambda: rounds_of(folder) > 1 or process.exitcode is not None)
    time.sleep(random.Random(0).uniform(0.0, 0.3))
    process.kill()
    process.join()
    await_(nothing_left)
    assert 0 < rounds_of(folder) < 9
    finish(processes, folder, *ray)
    await_(nothing_left)
    assert outcome(folder) == outcome(uninterrupted(*overrides))


def begin(
    processes: ForkServerContext, folder: Path, *overrides: str
) -> multiprocessing.context.ForkServerProcess:
    """Run or resume in a process of its own."""
    if (folder / "config.yaml").exists():
        process = processes.Process(target=fedkd.resume, args=(folder,))
    else:
        shutil.rmtree(folder, ignore_errors=True)
        process = processes.Process(target=functools.partial(fedkd.run, output=folder), args=overrides)
    process.start()
    return process


def finish(processes: ForkServerContext, folder: Path, *overrides: str) -> None:
    process = begin(processes, folder, *overrides)
    process.join(120)
    assert process.exitcode == 0


def rounds_of(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b'"failures"') if metrics.exists() else 0


def is_expected(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return True
    return any(
        name in command
        for name in (b"forkserver", b"resource_tracker", b"ray::DashboardAgent", b"ray::RuntimeEnv")
    )


def await_(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
