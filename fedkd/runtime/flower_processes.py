"""Flower's own processes on loopback: started in a private home folder, ended with certainty.

A home is a temporary folder that stands for Flower's `~/.flwr`, so that nothing of the user's Flower configuration is
read or changed, several runs do not meet, and every process of a run can be told from all others by its environment.

>>> with flower_home() as home, superlink(home, simulation=True):
...     flwr(home, "list", CONNECTION)
"""

import contextlib
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from fedkd.foundation.errors import FedkdError
from fedkd.runtime.flower_keeper import GRACE_SECONDS

CONNECTION = "fedkd"
"""The name under which the commands of a home find their SuperLink."""

LOOPBACK = "127.0.0.1"

STARTUP_SECONDS = 60.0
"""How long a SuperLink may take to answer; two seconds are usual."""


class FlowerUnavailable(FedkdError):
    """Flower's own runtime could not be started, or did not take the app; nothing of the run was done."""


@contextlib.contextmanager
def flower_home() -> Iterator[Path]:
    """Make a private home for Flower's commands; its keeper ends what is left in it and deletes it, whatever happens."""
    home = Path(tempfile.mkdtemp(prefix="fedkd-flower-")).resolve()
    keeper = [sys.executable, "-P", "-m", "fedkd.runtime.flower_keeper", str(home)]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, start_new_session=True):  # noqa: S603  (our own module)
        yield home


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a command: its home, nothing sent anywhere, nothing installed."""
    return os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        # The default of a SuperLink is to install an app's dependencies when it runs.
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
        # A SuperLink starts its other processes by name, also where the environment of Python is not activated.
        # Parts of one's own are found where this process finds them.
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        # A proxy must not be asked for what is on this machine.
        "NO_PROXY": ",".join([LOOPBACK, "localhost", *filter(None, [os.environ.get("NO_PROXY")])]),
    }


def start(home: Path, command: str, *arguments: str, log: Path | None = None) -> "subprocess.Popen[str]":
    """Start one of Flower's commands; its output goes to a log, or to the pipe `stdout` of what is returned.

    The command has a session of its own, so Ctrl-C reaches it only through whoever started it, in order. It reads
    from a pipe that nobody writes to, and ends when that pipe is closed.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else subprocess.PIPE
        return subprocess.Popen(  # noqa: S603  (the command is Flower's; no shell is between)
            [sys.executable, "-P", "-m", "fedkd.runtime.flower_child", command, *arguments],
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )


def end(process: "subprocess.Popen[str]") -> None:
    """Ask a process to end, and kill it if it does not."""
    with process:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def superlink(home: Path, *, simulation: bool) -> Iterator[str]:
    """Run a SuperLink while the block runs, known to the commands of the home as `CONNECTION`; yields its address.

    Args:
        home: from `flower_home`.
        simulation: whether it simulates its nodes; otherwise it waits for SuperNodes.

    Raises:
        FlowerUnavailable: it ended at once or did not answer in time; the message has its last words.
    """
    address = f"{LOOPBACK}:{free_port()}"
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\naddress = "{address}"\ninsecure = true\n',
        encoding="utf-8",
    )
    log = home / "superlink.log"
    host, _, port = address.partition(":")
    mode = ["--simulation"] if simulation else []
    process = start(home, "flower-superlink", "--insecure", "--host", host, "--port", port, *mode, log=log)
    try:
        _await_health(process, address, log)
        yield address
    finally:
        end(process)


@contextlib.contextmanager
def supernodes(home: Path, address: str, count: int) -> Iterator[None]:
    """Run SuperNodes while the block runs, each a process with a home of its own, as if on a machine of its own."""
    with contextlib.ExitStack() as stack:
        for partition in range(count):
            own_home = home / f"node-{partition}"
            own_home.mkdir()
            process = start(
                own_home,
                "flower-supernode",
                "--insecure",
                *("--superlink", address),
                *("--host", LOOPBACK, "--port", str(free_port())),
                *("--node-config", f"partition-id={partition} num-partitions={count}"),
                log=own_home / "supernode.log",
            )
            stack.callback(end, process)
        yield


def flwr(home: Path, *arguments: str) -> str:
    """Run `flwr` to its end and return what it printed.

    Raises:
        FlowerUnavailable: it failed; the message says why.
    """
    process = start(home, "flwr", *arguments)
    try:
        assert process.stdout is not None
        output = process.stdout.read()
        if process.wait() != 0:
            raise FlowerUnavailable(f"`flwr {arguments[0]}` failed: {plain(output)}")
    finally:
        end(process)
    return output


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def plain(output: str) -> str:
    """Return what a command printed as one line, without the frame around its errors."""
    return " ".join(output.translate(dict.fromkeys(map(ord, "╭╮╰╯│─"), " ")).split())


def _await_health(process: "subprocess.Popen[str]", address: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), direct.open(f"http://{address}/health", timeout=1.0):
            return
        time.sleep(0.1)
    last_words = plain(log.read_text(encoding="utf-8", errors="replace"))[-500:]
    raise FlowerUnavailable(
        f"Flower's SuperLink did not start on {address}: {last_words or 'it said nothing'}"
    )
