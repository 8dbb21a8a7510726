"""The Flower app: `server_app` and `client_app`, the same under every runtime.

Their run config holds one of two things: `fedkd-folder`, the path of a run folder whose `config.yaml` says what to run
(that is how `fedkd run runtime=flower` starts them), or `fedkd`, overrides as on the command line (for `flwr run .`).
"""

import json
from pathlib import Path

import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from rich.console import Console

from fedkd import engine
from fedkd.assembly.build import client_side_of
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.folders import start_folder
from fedkd.assembly.serve import serve
from fedkd.foundation.run_folder import RunFolder
from fedkd.foundation.watching import Watcher
from fedkd.reporting.display import display_for
from fedkd.runtime.runtimes.base import FOLDER

CONFIG, OVERRIDES = "fedkd-config", "fedkd"

client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Run one client's round."""
    torch.set_num_threads(1)
    side = client_side_of(_config(context))
    return Message(engine.train(side, _partition(context), message.content, context.state), reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Evaluate one client."""
    torch.set_num_threads(1)
    side = client_side_of(_config(context))
    return Message(
        engine.evaluate(side, _partition(context), message.content, context.state), reply_to=message
    )


@client_app.query()
def query(message: Message, context: Context) -> Message:
    """Say which partition this node holds."""
    answer = RecordDict({"config": ConfigRecord({"partition-id": _partition(context)})})
    return Message(answer, reply_to=message)


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


server_app = make_server_app()


def _partition(context: Context) -> int:
    return int(context.node_config["partition-id"])


def _config(context: Context) -> str:
    """Return the resolved config as JSON text, from wherever the run config has it."""
    given = context.run_config
    if given.get(CONFIG):
        return str(given[CONFIG])
    if given.get(FOLDER):
        return json.dumps(RunFolder.open(Path(str(given[FOLDER]))).config())
    return json.dumps(Experiment.from_config(compose(str(given[OVERRIDES]).split())).resolved)
