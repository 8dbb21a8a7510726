"""A Flower app that knows nothing of fedkd, run by fedkd's Ray grid: Krum, against clients that flip their labels.

Krum: Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent" (NeurIPS 2017).

    python examples/simulate_flower_app.py
"""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Krum
from sklearn.datasets import load_digits
from torch import nn

import fedkd

client_app = ClientApp()
server_app = ServerApp()


def digits(part: int, parts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one of so many parts of scikit-learn's digits."""
    data = load_digits()
    images = torch.tensor(data.data[part::parts] / 16.0, dtype=torch.float32)
    return images, torch.tensor(data.target[part::parts])


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Take ten steps of gradient descent; the last four clients have learnt their digits backwards."""
    part, parts = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    images, labels = digits(part, parts)
    if part >= parts - 4:
        labels = 9 - labels
    model = nn.Linear(64, 10)
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    metrics = MetricRecord({"num-examples": len(labels)})
    return Message(
        RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message
    )


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Train with each strategy in turn, and print how good the result is on all digits."""
    images, labels = digits(0, 1)
    start = {"weight": torch.zeros(10, 64), "bias": torch.zeros(10)}
    for strategy in (
        FedAvg(fraction_evaluate=0.0),
        Krum(fraction_evaluate=0.0, num_malicious_nodes=4),
    ):
        result = strategy.start(
            grid, initial_arrays=ArrayRecord(start), num_rounds=int(context.run_config["rounds"])
        )
        weights = result.arrays.to_torch_state_dict()
        said = (images @ weights["weight"].T + weights["bias"]).argmax(dim=1)
        print(f"{type(strategy).__name__:8}{float((said == labels).float().mean()):.3f}")


if __name__ == "__main__":
    fedkd.simulate(server_app, client_app, num_clients=10, num_actors=2, run_config={"rounds": 3})
