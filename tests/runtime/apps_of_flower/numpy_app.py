"""A Flower app in the older style as documented: `NumPyClient`, `client_fn`, `server_fn`; nothing of fedkd."""

from pathlib import Path

import numpy as np
from flwr.app import Context, Message, MetricRecord
from flwr.client import Client, NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import message_size_mod
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import Metrics, NDArrays, Scalar
from flwr.server import ServerAppComponents, ServerConfig
from flwr.server.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from flwr.serverapp import ServerApp
from sklearn.datasets import load_digits

NODES = 5
DIGITS = load_digits()


def digits(part: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    return DIGITS.data[part::parts] / 16.0, DIGITS.target[part::parts]


def gradient_steps(weights: np.ndarray, inputs: np.ndarray, targets: np.ndarray, lr: float) -> np.ndarray:
    for _ in range(5):
        scores = np.exp(inputs @ weights)
        shares = scores / scores.sum(axis=1, keepdims=True)
        weights = weights - lr * inputs.T @ (shares - np.eye(10)[targets]) / len(targets)
    return weights


class FlowerClient(NumPyClient):
    def __init__(self, context: Context) -> None:
        self.state = context.state
        self.partition = int(context.node_config["partition-id"])
        self.inputs, self.targets = digits(self.partition, int(context.node_config["num-partitions"]))

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:
        del config
        return [np.zeros((64, 10))]

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[NDArrays, int, dict[str, Scalar]]:
        before = int(self.state["fits"]["times"]) if "fits" in self.state else 0
        self.state["fits"] = MetricRecord({"times": before + 1})
        if config.get("fails") and self.partition == 2:
            raise RuntimeError("this client does not train")
        weights = gradient_steps(parameters[0], self.inputs, self.targets, float(config["lr"]))
        return [weights], len(self.targets), {"fits": before + 1, "partition": self.partition}

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        del config
        scores = self.inputs @ parameters[0]
        right = float((scores.argmax(axis=1) == self.targets).mean())
        return 1.0 - right, len(self.targets), {"accuracy": right}


def client_fn(context: Context) -> Client:
    return FlowerClient(context).to_client()


def counting_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Count this client's messages of every kind."""
    before = int(context.state["messages"]["times"]) if "messages" in context.state else 0
    context.state["messages"] = MetricRecord({"times": before + 1})
    return call_next(message, context)


client_app = ClientApp(client_fn=client_fn, mods=[message_size_mod, counting_mod])


def mean(said: list[tuple[int, Metrics]]) -> Metrics:
    """Average over clients, in an order that does not depend on who was first."""
    total = sum(count for count, _ in said)
    names = sorted({name for _, metrics in said for name in metrics})
    return {
        name: float(sum(sorted(count * float(metrics[name]) for count, metrics in said)) / total)
        for name in names
    }


def server_fn(context: Context) -> ServerAppComponents:
    folder = Path(str(context.run_config["results"]))
    inputs, targets = digits(0, 1)

    def record(
        server_round: int, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, dict[str, Scalar]]:
        del config
        right = float(((inputs @ parameters[0]).argmax(axis=1) == targets).mean())
        np.savez(folder / f"round-{server_round}.npz", weights=parameters[0], accuracy=right)
        return 1.0 - right, {"accuracy": right}

    def fit_metrics(said: list[tuple[int, Metrics]]) -> Metrics:
        np.savez(folder / f"fit-{len(list(folder.glob('fit-*')))}.npz", **mean(said), clients=len(said))
        return mean(said)

    def evaluate_metrics(said: list[tuple[int, Metrics]]) -> Metrics:
        np.savez(folder / f"evaluate-{len(list(folder.glob('evaluate-*')))}.npz", **mean(said))
        return mean(said)

    np.random.seed(0)  # noqa: NPY002  (Flower draws the noise from the global generator)
    strategy = FedAvg(
        min_fit_clients=NODES,
        min_evaluate_clients=NODES,
        min_available_clients=NODES,
        evaluate_fn=record,
        on_fit_config_fn=lambda server_round: {"lr": 0.5, "fails": server_round == 3},
        fit_metrics_aggregation_fn=fit_metrics,
        evaluate_metrics_aggregation_fn=evaluate_metrics,
    )
    private = DifferentialPrivacyServerSideFixedClipping(strategy, 0.1, 2.0, NODES)
    return ServerAppComponents(strategy=private, config=ServerConfig(num_rounds=3))


server_app = ServerApp(server_fn=server_fn)
