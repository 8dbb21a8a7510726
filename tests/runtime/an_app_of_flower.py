"""A Flower app written against Flower's documentation alone: it knows nothing of fedkd."""

import random

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdam, FedAvg
from sklearn.datasets import load_digits
from torch import nn

client_app = ClientApp()
server_app = ServerApp()


def network() -> nn.Module:
    layer = nn.Linear(64, 10)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@client_app.train()
def train(message: Message, context: Context) -> Message:
    torch.set_num_threads(1)
    part, parts = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    digits = load_digits()
    inputs = torch.tensor(digits.data[part::parts] / 16.0, dtype=torch.float32)
    targets = torch.tensor(digits.target[part::parts])
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=float(message.content["config"]["lr"]))
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    before = context.state["rounds"]["count"] if "rounds" in context.state else 0
    context.state["rounds"] = MetricRecord({"count": before + 1})
    metrics = MetricRecord({"num-examples": len(targets), "rounds": before + 1})
    reply = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=reply, reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    part, parts = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    digits = load_digits()
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    with torch.no_grad():
        said = model(torch.tensor(digits.data[part::parts] / 16.0, dtype=torch.float32)).argmax(1).numpy()
    right = float(np.mean(said == digits.target[part::parts]))
    reply = RecordDict({"metrics": MetricRecord({"num-examples": len(said), "accuracy": right})})
    return Message(content=reply, reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    random.seed(0)  # Flower's strategies sample with the global generator; this app wants the same each time
    options = {"fraction_train": 1.0, "fraction_evaluate": 1.0, "min_available_nodes": 4}
    strategy = FedAdam(**options, eta=0.1) if context.run_config.get("adam") else FedAvg(**options)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(network().state_dict()),
        train_config=ConfigRecord({"lr": 0.5}),
        num_rounds=3,
    )
    np.savez(
        str(context.run_config["result"]),
        *result.arrays.to_numpy_ndarrays(),
        accuracy=[result.evaluate_metrics_clientapp[number]["accuracy"] for number in (1, 2, 3)],
        rounds=[result.train_metrics_clientapp[number]["rounds"] for number in (1, 2, 3)],
    )
