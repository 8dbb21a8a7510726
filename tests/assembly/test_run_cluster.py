"""A run over a Ray cluster of two nodes on this machine, one of which is killed in the middle of it.

Whoever joins a cluster cannot leave it for another, so nodes and runs are processes of their own.
"""

import contextlib
import functools
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

import fedkd

pytestmark = pytest.mark.xdist_group("cluster")
Uninterrupted = Callable[..., Path]
ProcessesWith = Callable[[str, str], list[int]]
Node = subprocess.Popen[bytes]

MARK = "FEDKD_TEST_CLUSTER"
OVERRIDES = ("method=dsfl", "rounds=16")


class Cluster:
    """Nodes of Ray with one CPU each, the first of them the head, each on a loopback address of its own.

    Args:
        storage: where Ray keeps its files; a short path, since it has to fit into the address of a socket.
        find: finds marked processes.
    """

    def __init__(self, storage: Path, find: ProcessesWith) -> None:
        self._storage, self._find = storage, find
        self._nodes: list[Node] = []
        self._port, self._client_port = free_ports(2)
        self.address = f"127.0.0.1:{self._port}"

    def begin(self, others: int) -> None:
        """Start the head, then the others one by one: two that start at once can fail."""
        ports = (f"--port={self._port}", f"--ray-client-server-port={self._client_port}")
        self._start("--head", *ports, f"--temp-dir={self._storage}", "--include-dashboard=false")
        for _ in range(others):
            self._start(f"--address={self.address}")

    def _start(self, *options: str) -> None:
        ray = Path(sysconfig.get_path("scripts"), "ray")
        small = ("--num-cpus=1", "--num-gpus=0", "--object-store-memory=100000000", "--disable-usage-stats")
        number = len(self._nodes) + 1
        said = self._storage / f"{number}.txt"
        with said.open("wb") as output:
            node = subprocess.Popen(
                [
                    sys.executable,
                    ray,
                    "start",
                    *options,
                    *small,
                    f"--node-ip-address=127.0.0.{number}",
                    "--block",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._nodes.append(node)
        await_(lambda: b"Ray runtime started" in said.read_bytes() or node.poll() is not None)
        assert node.poll() is None, said.read_text()

    def node_at_work(self) -> Node:
        """Return a node that has a worker of ours, not the head, as soon as there is one: the first rounds may be the head's alone."""

        def busy() -> list[Node]:
            groups = {os.getpgid(pid) for pid in self._find(MARK, str(os.getpid())) if is_worker(pid)}
            return [node for node in self._nodes[1:] if node.pid in groups]

        await_(lambda: bool(busy()))
        return busy()[0]

    def kill(self, node: Node) -> None:
        """Kill every process of a node at once: its raylet, and whatever works there."""
        if node.poll() is None:
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def end(self) -> None:
        """End all nodes, the head last."""
        for node in reversed(self._nodes):
            self.kill(node)


def is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        return title.startswith(b"ray::") and not title.startswith(
            (b"ray::IDLE", b"ray::Dashboard", b"ray::Runtime")
        )
    return False


def serves_forks(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return True  # it ended meanwhile


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


@pytest.fixture(scope="module")
def _marked() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, str(os.getpid()))
        yield


@pytest.fixture(scope="module")
def cluster(_marked: None, processes_with: ProcessesWith) -> Iterator[Cluster]:
    storage = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    cluster = Cluster(storage, processes_with)
    try:
        cluster.begin(others=1)
        yield cluster
    finally:
        cluster.end()
    await_(lambda: all(serves_forks(pid) for pid in processes_with(MARK, str(os.getpid()))))
    shutil.rmtree(storage)


@pytest.fixture(scope="module")
def processes(_marked: None) -> Iterator[ForkServerContext]:
    """Start runs by forking a process that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fedkd.assembly.run", "fedkd.runtime.ray_grid"])
    forkserver.ensure_running()
    yield context
    forkserver._forkserver._stop()


Begin = Callable[[Path], contextlib.AbstractContextManager[ForkServerProcess]]


@pytest.fixture
def begin(cluster: Cluster, processes: ForkServerContext, small: tuple[str, ...]) -> Begin:
    """Run an experiment over the cluster, with two actors, and wait until it is in the midst of it."""
    ray = ("runtime=ray", f"runtime.address={cluster.address}", "runtime.num_actors=2")
    # Under a time limit the clients' time begins when all workers are there; else the head alone may be done before the other node's is.
    ray += ("client_timeout=300",)

    @contextlib.contextmanager
    def run(folder: Path) -> Iterator[ForkServerProcess]:
        process = processes.Process(
            target=functools.partial(fedkd.run, output=folder), args=(*small, *OVERRIDES, *ray)
        )
        process.start()
        try:
            await_(lambda: rounds_of(folder) > 2 or process.exitcode is not None)
            yield process
        finally:
            process.kill()
            process.join()

    return run


def test_a_run_over_two_nodes_goes_on_with_the_one_that_is_left(
    cluster: Cluster, begin: Begin, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    with begin(tmp_path / "run") as process:
        cluster.kill(cluster.node_at_work())
        process.join(90)
        require_recovered(process, tmp_path / "run", uninterrupted(*OVERRIDES))


def require_recovered(process: ForkServerProcess, folder: Path, expected: Path) -> None:
    assert process.exitcode == 0
    log = (folder / "log.txt").read_text()
    assert "died" in log  # the killed node had a worker
    assert (folder / "metrics.jsonl").read_bytes() == (expected / "metrics.jsonl").read_bytes()


def rounds_of(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b'"failures"') if metrics.exists() else 0


def await_(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
