"""A Flower app as Flower's quickstart for PyTorch has it, on the material of a workload. It knows nothing of fedkd.

It travels to Flower's processes as a file of its own, so it finds the room itself by the path in its run config.
"""

import itertools
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from torch import nn

client_app = ClientApp()
server_app = ServerApp()


def _material(context: Context):  # noqa: ANN202  (its class is found at run time)
    sys.path.append(str(context.run_config["room"]))
    from simulations.bench.material import Material

    return Material.open(Path(str(context.run_config["material"])))


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Train on this node's samples."""
    torch.set_num_threads(1)
    material = _material(context)
    turn = int(message.content["config"]["server-round"]) - 1
    place = material.participants[turn].index(int(context.node_config["partition-id"]))
    network = material.network()
    network.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(network.parameters(), lr=material.lr)
    for x, y in material.batches(turn, place):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    metrics = MetricRecord({"num-examples": len(material.y[0])})
    content = RecordDict({"arrays": ArrayRecord(network.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds with Flower's FedAvg, and take the time between them."""
    torch.set_num_threads(1)
    material = _material(context)
    moments: list[float] = []
    strategy = FedAvg(
        fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=len(material.participants[0])
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(material.network().state_dict()),
        num_rounds=int(context.run_config["rounds"]),
        evaluate_fn=lambda *_: moments.append(time.perf_counter()),
    )
    network = material.network()
    network.load_state_dict(result.arrays.to_torch_state_dict())
    folder = Path(str(context.run_config["fedkd-folder"]))
    torch.save(nn.utils.parameters_to_vector(network.parameters()).detach(), folder / "weights.pt")
    seconds = [after - before for before, after in itertools.pairwise(moments)]
    (folder / "flower.json").write_text(json.dumps(seconds), encoding="utf-8")
