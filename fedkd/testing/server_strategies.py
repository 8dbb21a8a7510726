"""What must hold of every server strategy, in short runs with clients that say what it takes."""

import contextlib
import copy
import functools
import json
import tempfile
from typing import Any

from fedkd.assembly.apps import CONFIG, client_app
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.folders import start_folder
from fedkd.assembly.serve import serve
from fedkd.foundation.parts import dump
from fedkd.foundation.run_folder import METRICS, RunFolder
from fedkd.foundation.watching import Silent
from fedkd.runtime.inline import InlineGrid
from fedkd.strategies import STRATEGIES, ServerStrategy
from fedkd.testing.contract import Broken, Contract, generators_left_alone, require

ROUNDS, CLIENTS = 2, 3

_CLIENT_FOR = {
    None: "isolated",
    "weights": "supervised",
    "updates": "supervised",
    "labelled_weights": "fedgen",
    "class_means": "fd",
    "prototypes": "fedproto",
    "logits": "codistillation",
    "probabilities": "codistillation",
    "features": "fedgkt",
}
"""The built-in client strategy that goes with each kind of knowledge."""


class _Stopped(Exception):
    """The run is stopped on purpose."""


class _Stopper(Silent):
    """Stops a run in its last round."""

    def phase(self, round: int, name: str, total: int | None) -> None:  # noqa: A002
        """Stop when the last round begins."""
        del name, total
        if round == ROUNDS:
            raise _Stopped


def two_runs_give_the_same_bytes(strategy: ServerStrategy) -> None:
    """A run repeated writes the same metrics, byte for byte, and draws from no global generator."""
    for kind in _kinds(strategy):
        with generators_left_alone():
            first, second = _metrics(strategy, kind), _metrics(strategy, kind)
        require(first == second, f"with {kind}, two equal runs write different metrics")


def a_stopped_run_goes_on_to_the_same_end(strategy: ServerStrategy) -> None:
    """A run stopped in its last round and resumed writes what an uninterrupted one writes: `state` holds all it needs."""
    for kind in _kinds(strategy):
        whole = _metrics(strategy, kind)
        require(
            _metrics(strategy, kind, stopped=True) == whole,
            f"with {kind}, a resumed run writes other metrics",
        )


def no_client_needs_to_take_part_twice(strategy: ServerStrategy) -> None:
    """Rounds in which only some of the clients take part work."""
    for kind in _kinds(strategy):
        require(_metrics(strategy, kind, clients_per_round=1), f"with {kind}, nothing is measured")


CONTRACT = Contract(
    STRATEGIES,
    ServerStrategy,
    (two_runs_give_the_same_bytes, a_stopped_run_goes_on_to_the_same_end, no_client_needs_to_take_part_twice),
)


def _kinds(strategy: ServerStrategy) -> list[str | None]:
    kinds = [kind for kind in strategy.takes if kind in _CLIENT_FOR]
    if not kinds:
        raise Broken(
            f"it takes {', '.join(map(str, strategy.takes))}, and none of these is a built-in kind of knowledge"
        )
    return kinds


def _metrics(
    strategy: ServerStrategy, kind: str | None, *, stopped: bool = False, clients_per_round: int | None = None
) -> bytes:
    """Return the metrics that a short run writes; a stopped one is resumed."""
    with tempfile.TemporaryDirectory() as place:
        settings = {"output": f"{place}/run", "clients_per_round": clients_per_round}
        folder = start_folder(Experiment.from_config(_config(strategy, kind) | settings))
        if stopped:
            with contextlib.suppress(_Stopped):
                _serve(folder, _Stopper())
        _serve(folder, Silent())
        return (folder.path / METRICS).read_bytes()


def _serve(folder: RunFolder, watcher: Silent) -> None:
    with InlineGrid(client_app, CLIENTS, {CONFIG: json.dumps(folder.config())}) as grid:
        serve(folder, grid, watcher)


def _config(strategy: ServerStrategy, kind: str | None) -> dict[str, Any]:
    cls = type(strategy)
    config = copy.deepcopy(_usual())
    config["method"] = {
        "name": "testing",
        "strategy": {"name": f"{cls.__module__}:{cls.__qualname__}", **dump(strategy)},
        "client": _CLIENT_FOR[kind],
        "knowledge": kind,
        "fusion": "mean_logits" if strategy.needs_fusion else None,
        "distiller": {} if strategy.needs_fusion or strategy.needs_distiller else None,
    }
    return config | {"rounds": ROUNDS, "clients": CLIENTS, "evaluate_every": ROUNDS}


@functools.cache
def _usual() -> dict[str, Any]:
    return compose(["runtime=inline", "model.hidden=[16]", "data.samples=300", "proxy.size=60"])
