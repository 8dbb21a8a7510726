"""The Flower app: `server_app` and `client_app`, the same under every runtime.

Their run config holds one of two things: `fedkd-folder`, the path of a run folder whose `config.yaml` says what to run
(that is how `fedkd run runtime=flower` starts them), or `fedkd`, overrides as on the command line (for `flwr run .`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp
from rich.console import Console

from fedkd import engine
from fedkd.assembly.build import borrow_data, client_side_of, lend_data
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.folders import start_folder
from fedkd.assembly.serve import serve
from fedkd.engine.engines.base import Work
from fedkd.foundation.run_folder import RunFolder
from fedkd.foundation.threads import threads
from fedkd.foundation.watching import Watcher
from fedkd.reporting.display import display_for
from fedkd.runtime.cohort_app import CohortApp
from fedkd.runtime.runtimes.base import FOLDER
from fedkd.runtime.values import Value

CONFIG, OVERRIDES = "fedkd-config", "fedkd"


class FedkdClientApp(CohortApp):
    """The client side: trains, evaluates, and says which partition a node holds."""

    def __init__(self) -> None:
        super().__init__()
        self.train()(_one)
        self.evaluate()(_one)
        self.query()(_query)

    def cohorts(self, run_config: Mapping[str, Value], clients: Sequence[int]) -> list[list[int]]:
        """Return the cohorts of the config's engine."""
        side = client_side_of(_config(run_config))
        return side.engine.cohorts(
            [Work(repr(side.models[client]), len(side.data.assignments[client])) for client in clients]
        )

    def work(self, run_config: Mapping[str, Value], kind: str, clients: Sequence[int]) -> Sequence[float]:
        """Return the multiplications that training takes; all clients are evaluated on as many samples."""
        side = client_side_of(_config(run_config))
        trains = kind == MessageType.TRAIN
        return [side.train_work(one) if trains else side.sample_work(side.models[one]) for one in clients]

    def together(
        self, kind: str, contents: Sequence[RecordDict], contexts: Sequence[Context]
    ) -> list[RecordDict | Exception]:
        """Train or evaluate a cohort."""
        if kind == MessageType.QUERY:
            return [_holds(context) for context in contexts]
        return _together(kind, contents, contexts)

    def lend(self, run_config: Mapping[str, Value]) -> object:
        """Return the partitioned data, so that no other process has to load it."""
        return lend_data(_config(run_config))

    def borrow(self, run_config: Mapping[str, Value], lent: object) -> None:
        """Take up the partitioned data."""
        borrow_data(_config(run_config), lent)


def _together(
    kind: str, contents: Sequence[RecordDict], contexts: Sequence[Context]
) -> list[RecordDict | Exception]:
    # One thread, whatever the server of this process has: its answers are those of a process that has one core.
    with threads(1):
        side = client_side_of(_config(contexts[0].run_config))
        turns = engine.turns_of(
            [_partition(context) for context in contexts], contents, [context.state for context in contexts]
        )
        work = engine.train_together if kind == MessageType.TRAIN else engine.evaluate_together
        return work(side, turns)


def _one(message: Message, context: Context) -> Message:
    """Train or evaluate one client."""
    [outcome] = _together(message.metadata.message_type, [message.content], [context])
    if isinstance(outcome, Exception):
        raise outcome
    return Message(outcome, reply_to=message)


def _query(message: Message, context: Context) -> Message:
    """Say which partition this node holds."""
    return Message(_holds(context), reply_to=message)


def _holds(context: Context) -> RecordDict:
    return RecordDict({"config": ConfigRecord({"partition-id": _partition(context)})})


def make_server_app(watcher: Watcher | None = None) -> ServerApp:
    """Return a server app that runs what its run config says, and tells the watcher (by default, the process's output)."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        if context.run_config.get(FOLDER):
            folder = RunFolder.open(Path(str(context.run_config[FOLDER])))
        else:
            experiment = Experiment.from_config(compose(str(context.run_config[OVERRIDES]).split()))
            folder = start_folder(experiment)
        serve(folder, grid, watcher or display_for(Console()))

    return app


client_app = FedkdClientApp()
server_app = make_server_app()


def _partition(context: Context) -> int:
    return int(context.node_config["partition-id"])


def _config(given: Mapping[str, Any]) -> str:
    """Return the resolved config as JSON text, from wherever the run config has it."""
    if given.get(CONFIG):
        return str(given[CONFIG])
    if given.get(FOLDER):
        return json.dumps(RunFolder.open(Path(str(given[FOLDER]))).config())
    return json.dumps(Experiment.from_config(compose(str(given[OVERRIDES]).split())).resolved)
