"""A Flower app whose clients do nothing: what is left is the engine. Flower's own FedAvg on one array of ten numbers."""

import itertools
import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client_app = ClientApp()
server_app = ServerApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Send back what came."""
    del context
    content = RecordDict({"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})})
    return Message(content=content, reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds, and take the time between them."""
    nodes, cohort = int(context.run_config["nodes"]), int(context.run_config["cohort"])
    moments: list[float] = []
    strategy = FedAvg(fraction_train=cohort / nodes, fraction_evaluate=0.0, min_available_nodes=nodes)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({"weights": Array(np.zeros(10, dtype=np.float32))}),
        num_rounds=int(context.run_config["rounds"]),
        evaluate_fn=lambda *_: moments.append(time.perf_counter()),
    )
    seconds = [after - before for before, after in itertools.pairwise(moments)]
    Path(str(context.run_config["fedkd-folder"]), "seconds.json").write_text(
        json.dumps(seconds), encoding="utf-8"
    )
