"""Run an app on Flower's own runtime: `flwr run` on this machine, with simulated nodes or with SuperNodes as processes.

Nothing of fedkd stands between Flower and the app: it is bundled, submitted, scheduled and answered by Flower's
SuperLink. Here is only what a user would type, in a home of its own, and the certainty that it all ends.

>>> run_with_flower({}, Path("runs/demo/1"), num_clients=20)        # simulated nodes, in actors of Ray
>>> run_with_supernodes({}, Path("runs/demo/2"), num_clients=2)     # a SuperLink and two SuperNodes
"""

import contextlib
import json
import math
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedkd.foundation.errors import RoundFailed
from fedkd.runtime.flower_processes import (
    CONNECTION,
    FlowerUnavailable,
    end,
    flower_home,
    flwr,
    plain,
    start,
    superlink,
    supernodes,
)
from fedkd.runtime.values import Value

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LAST_WORDS = 12
"""Lines of the log that are told of a run that failed: Flower's own reason is often only the value of an exception."""

_STARTED = re.compile(r"Successfully started run (\d+)")


@dataclass(frozen=True, kw_only=True)
class AppRef:
    """Which app to run: by default fedkd's own.

    Args:
        server: the server app, as `module:attribute`; the module assigns the attribute by name.
        client: the client app, likewise.
        code: a folder whose Python files travel in the bundle; None for apps that are installed on every node.
    """

    server: str = "fedkd.assembly.apps:server_app"
    client: str = "fedkd.assembly.apps:client_app"
    code: Path | None = None


def run_with_flower(
    config: Mapping[str, Value],
    folder: Path,
    *,
    num_clients: int,
    num_actors: int = 1,
    num_gpus: float = 0.0,
    app: AppRef | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run an app in Flower's simulation: one node per client, carried by actors of Ray on this machine.

    The app finds in its run config the entries of `config` and, as `fedkd-folder`, the path of the run folder.
    Returns when the run has completed; whether it does or not, no process of it is left.

    Args:
        config: further entries of the run config.
        folder: the run folder, with its `config.yaml`.
        num_clients: simulated nodes; node i has `partition-id` i in its node config.
        num_actors: nodes that work at the same time, each on one CPU.
        num_gpus: GPUs of this machine that the actors share equally.
        app: what to run.
        on_line: called with each line of the log, without colours.

    Raises:
        FlowerUnavailable: Flower did not start or did not take the app.
        RoundFailed: the run ended before it was complete; the message has the reason.
    """
    # Ray counts GPUs in steps of 1/10000; rounding down keeps all actors.
    share = int(num_gpus / num_actors * 10_000) / 10_000
    federation = (
        f"num-supernodes={num_clients} init-args-num-cpus={num_actors} client-resources-num-cpus=1 "
        f"init-args-num-gpus={math.ceil(num_gpus)} client-resources-num-gpus={share}"
    )
    with flower_home() as home, superlink(home, simulation=True):
        bundle = _write_app(home / "app", config, folder, app or AppRef())
        _submit(home, bundle, ["--federation-config", federation], on_line)


def run_with_supernodes(
    config: Mapping[str, Value],
    folder: Path,
    *,
    num_clients: int,
    app: AppRef | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run an app on a real SuperLink with one SuperNode per client, each a process of its own on loopback.

    Every message starts a process of the client app, and a SuperNode asks for work every three seconds: this is for
    proving that an app deploys, not for speed. Arguments and errors as for `run_with_flower`.
    """
    with (
        flower_home() as home,
        superlink(home, simulation=False) as address,
        supernodes(home, address, num_clients),
    ):
        bundle = _write_app(home / "app", config, folder, app or AppRef())
        _submit(home, bundle, [], on_line)


def _write_app(target: Path, config: Mapping[str, Value], folder: Path, app: AppRef) -> Path:
    """Write the folder that `flwr run` bundles; values stand in it as defaults, so that none needs quoting."""
    if app.code is None:
        target.mkdir()
    else:
        shutil.copytree(app.code, target, ignore=shutil.ignore_patterns("pyproject.toml", "__pycache__"))
    entries = {"fedkd": ""} | dict(config) | {"fedkd-folder": str(folder.resolve())}
    lines = [
        "[project]",
        'name = "fedkd-run"',
        'version = "0.1.0"',
        'description = "A run of fedkd"',
        'license = "Apache-2.0"',
        "[tool.flwr.app]",
        'publisher = "fedkd"',
        "[tool.flwr.app.components]",
        f"serverapp = {_toml(app.server)}",
        f"clientapp = {_toml(app.client)}",
        "[tool.flwr.app.config]",
        *(f"{_toml(key)} = {_toml(value)}" for key, value in entries.items()),
    ]
    (target / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _toml(value: Value) -> str:
    """Write a value as TOML does; for plain values that is also JSON."""
    return json.dumps(value, ensure_ascii=False)


def _submit(home: Path, bundle: Path, options: list[str], on_line: Callable[[str], None] | None) -> None:
    """Submit the app, follow its log to the end, and raise unless the SuperLink says that the run has completed."""
    run_id, said = None, []
    last_words = deque[str](maxlen=_LAST_WORDS)
    with _following(home, "run", str(bundle), CONNECTION, "--stream", *options) as lines:
        for line in lines:
            if started := _STARTED.search(line):
                run_id = started[1]
            if run_id is None:
                said.append(line)
                continue
            last_words.append(line)
            if on_line:
                on_line(line)
    if run_id is None:
        raise FlowerUnavailable(f"`flwr run` did not take the app: {plain(' '.join(said))}")
    # `flwr run` exits with 0 also when the run has failed, and with 1 when only the stream broke: ask for the status.
    answer = flwr(home, "list", CONNECTION, "--run-id", run_id, "--format", "json")
    [run] = json.loads(answer[answer.index("{") :])["runs"]
    if run["status"] != "finished:completed":
        raise RoundFailed(
            f"the run under Flower is {run['status']}: {plain(run['status-details'])} "
            f"(the last of its log: {plain(' '.join(last_words))})"
        )


@contextlib.contextmanager
def _following(home: Path, *arguments: str) -> Iterator[Iterator[str]]:
    process = start(home, "flwr", *arguments)
    try:
        assert process.stdout is not None
        yield (_COLOUR.sub("", line).rstrip() for line in process.stdout)
    finally:
        end(process)
