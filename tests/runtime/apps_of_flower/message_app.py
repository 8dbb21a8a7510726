"""A Flower app against the Message API as documented: strategies, wrappers, mods, states and actions; nothing of fedkd.

The server app runs one strategy after the other and saves what came of each.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import adaptiveclipping_mod, arrays_size_mod, fixedclipping_mod, message_size_mod
from flwr.clientapp.typing import ClientAppCallable
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedTrimmedAvg,
    Krum,
    Strategy,
)
from sklearn.datasets import load_digits
from torch import nn

NODES = 5
DIGITS = load_digits()
ALL = {"min_available_nodes": NODES, "min_train_nodes": NODES}
QUIET = {**ALL, "fraction_evaluate": 0.0}


def clipping_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Clip as the server asks for, with Flower's own mods, and count how often this client has clipped."""
    clip = {"fixed": fixedclipping_mod, "adaptive": adaptiveclipping_mod}.get(
        str(message.content["config"].get("clip"))
    )
    if clip is None:
        return call_next(message, context)
    before = context.state["clipped"]["times"] if "clipped" in context.state else 0
    context.state["clipped"] = MetricRecord({"times": before + 1})
    return clip(message, context, call_next)


def signing_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Change what goes in, and what comes out."""
    message.content["config"]["seen-by-mod"] = True
    reply = call_next(message, context)
    if reply.has_content():
        reply.content["metrics"]["signed"] = float(context.node_config["partition-id"])
    return reply


client_app = ClientApp(mods=[message_size_mod, arrays_size_mod])


def digits(part: int, parts: int) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.tensor(DIGITS.data[part::parts] / 16.0, dtype=torch.float32)
    return inputs, torch.tensor(DIGITS.target[part::parts])


def own_digits(context: Context) -> tuple[torch.Tensor, torch.Tensor]:
    return digits(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))


def network() -> nn.Module:
    layer = nn.Linear(64, 10)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@client_app.train(mods=[signing_mod, clipping_mod])
def train(message: Message, context: Context) -> Message:
    torch.set_num_threads(1)
    config = message.content["config"]
    assert config["seen-by-mod"]
    inputs, targets = own_digits(context)
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    if config.get("attacked") and context.node_config["partition-id"] == NODES - 1:
        targets = 9 - targets
    optimizer = torch.optim.SGD(model.parameters(), lr=float(config["lr"]))
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    before = context.state["trained"]["times"] if "trained" in context.state else 0
    context.state["trained"] = MetricRecord({"times": before + 1})
    arrays = ArrayRecord(model.state_dict())
    context.state["last"] = arrays  # the very record that is sent
    metrics = MetricRecord({"num-examples": len(targets), "trained": before + 1})
    return Message(content=RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    inputs, targets = own_digits(context)
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    with torch.no_grad():
        right = float((model(inputs).argmax(1) == targets).float().mean())
    metrics = MetricRecord({"num-examples": len(targets), "accuracy": right})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)


@client_app.evaluate("per_class")
def evaluate_per_class(message: Message, context: Context) -> Message:
    _, targets = own_digits(context)
    counts = torch.bincount(targets, minlength=10).tolist()
    return Message(RecordDict({"metrics": MetricRecord({"counts": counts})}), reply_to=message)


@client_app.train("forget")
def forget(message: Message, context: Context) -> Message:
    trained = context.state["trained"]["times"]
    del context.state["trained"]
    return Message(RecordDict({"metrics": MetricRecord({"trained": trained})}), reply_to=message)


@client_app.train("append")
def append(message: Message, context: Context) -> Message:
    """Change lists where they lie, in what was sent and in what is kept; one client fails afterwards."""
    context.state.setdefault("lists", MetricRecord({"kept": [0]}))
    kept, told = context.state["lists"]["kept"], message.content["config"]["told"]
    kept.append(1)
    told.append(1)
    if context.node_config["partition-id"] == 1:
        raise ValueError("on purpose")
    said = MetricRecord({"kept": len(kept), "told": len(told)})
    return Message(RecordDict({"lists": said}), reply_to=message)


@client_app.query("lists")
def query_lists(message: Message, context: Context) -> Message:
    length = len(context.state["lists"]["kept"]) if "lists" in context.state else 0
    return Message(RecordDict({"lists": MetricRecord({"length": length})}), reply_to=message)


@client_app.query()
def query(message: Message, context: Context) -> Message:
    partition = MetricRecord({"partition": int(context.node_config["partition-id"])})
    about = ConfigRecord({"word": str(context.run_config["word"]), "kept": sorted(context.state)})
    return Message(RecordDict({"partition": partition, "about": about}), reply_to=message)


@client_app.query("kept")
def query_kept(message: Message, context: Context) -> Message:
    clipped = context.state["clipped"]["times"] if "clipped" in context.state else 0
    largest = max(float(np.abs(array.numpy()).max()) for array in context.state["last"].values())
    return Message(
        RecordDict({"kept": MetricRecord({"clipped": clipped, "largest": largest})}), reply_to=message
    )


server_app = ServerApp()


@server_app.lifespan()
def lifespan(context: Context) -> Iterator[None]:
    folder = Path(str(context.run_config["results"]))
    (folder / "begun").touch()
    yield
    (folder / "ended").touch()


def strategies() -> dict[str, tuple[Strategy, dict[str, object]]]:
    """Return strategies by name, each with what clients are told in its rounds."""
    return {
        "fedavg": (FedAvg(**ALL, min_evaluate_nodes=NODES), {}),
        "fedadam": (FedAdam(**QUIET, eta=0.1), {}),
        "krum": (Krum(**QUIET, num_malicious_nodes=1), {"attacked": True}),
        "trimmed": (FedTrimmedAvg(**QUIET, beta=0.2), {"attacked": True}),
        "dp_server": (DifferentialPrivacyServerSideFixedClipping(FedAvg(**QUIET), 0.1, 0.5, NODES), {}),
        "dp_client": (
            DifferentialPrivacyClientSideFixedClipping(FedAvg(**QUIET), 0.1, 0.5, NODES),
            {"clip": "fixed"},
        ),
        "dp_adaptive": (
            DifferentialPrivacyClientSideAdaptiveClipping(
                FedAvg(**QUIET), 0.1, NODES, initial_clipping_norm=0.5, clipped_count_stddev=0.5
            ),
            {"clip": "adaptive"},
        ),
    }


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    folder = Path(str(context.run_config["results"]))
    for name, (strategy, asked) in strategies().items():
        # Flower's strategies draw samples and noise from the global generators.
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        result = strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(network().state_dict()),
            train_config=ConfigRecord({"lr": 0.5, **asked}),
            num_rounds=2,
        )
        told = {
            f"{kind} {server_round} {metric}": value
            for kind, by_round in (
                ("train", result.train_metrics_clientapp),
                ("evaluate", result.evaluate_metrics_clientapp),
            )
            for server_round, metrics in by_round.items()
            for metric, value in metrics.items()
        }
        arrays = {key: array.numpy() for key, array in result.arrays.items()}
        np.savez(folder / f"{name}.npz", **arrays, **told)
    np.savez(folder / "actions.npz", **actions(grid))
    np.savez(folder / "lists.npz", **lists(grid))


def actions(grid: Grid) -> dict[str, np.ndarray]:
    """Send messages one writes oneself, to actions by name, and sort what comes back by partition."""
    asked = list(grid.send_and_receive(messages(grid, "query")))
    partition_of = {
        reply.metadata.src_node_id: int(reply.content["partition"]["partition"]) for reply in asked
    }

    def in_order(replies: list[Message], record: str, metric: str) -> np.ndarray:
        said = {partition_of[reply.metadata.src_node_id]: reply.content[record][metric] for reply in replies}
        return np.array([said[partition] for partition in sorted(said)])

    sent = list(grid.push_messages(messages(grid, "evaluate.per_class")))
    pulled: list[Message] = []
    waiting = set(sent)
    while waiting:  # Flower answers with an error if it is asked again for what it has handed over
        time.sleep(0.1)
        pulled.extend(grid.pull_messages(waiting))
        waiting -= {reply.metadata.reply_to_message_id for reply in pulled}
    kept = grid.send_and_receive(messages(grid, "query.kept"))
    forgotten = grid.send_and_receive(messages(grid, "train.forget"))
    missing = grid.send_and_receive(messages(grid, "query.missing"))
    afterwards = grid.send_and_receive(messages(grid, "query"))
    words = {word for reply in asked for word in (reply.content["about"]["word"],)}
    return {
        "partitions": in_order(asked, "partition", "partition"),
        "counts": in_order(pulled, "metrics", "counts"),
        "answers known by number": np.array(
            {reply.metadata.reply_to_message_id for reply in pulled} == {*sent}
        ),
        "clipped": in_order(kept, "kept", "clipped"),
        "largest": in_order(kept, "kept", "largest"),
        "trained": in_order(forgotten, "metrics", "trained"),
        "errors": np.array([reply.has_error() for reply in missing]),
        "kept before": np.array(sorted(asked[0].content["about"]["kept"])),
        "kept after": np.array(sorted(next(iter(afterwards)).content["about"]["kept"])),
        "words": np.array(sorted(words)),
    }


def lists(grid: Grid) -> dict[str, np.ndarray]:
    """Send one list to all, twice, and return how long each list was and is."""
    shared = RecordDict({"config": ConfigRecord({"told": [0]})})
    said = [
        [reply.content["lists"]["kept"], reply.content["lists"]["told"]]
        for _ in range(2)
        for reply in grid.send_and_receive(messages(grid, "train.append", shared))
        if reply.has_content()
    ]
    kept = grid.send_and_receive(messages(grid, "query.lists"))
    return {
        "said": np.array(said),
        "sent": np.array(shared["config"]["told"]),
        "kept": np.array(sorted(reply.content["lists"]["length"] for reply in kept)),
    }


def messages(grid: Grid, kind: str, content: RecordDict | None = None) -> list[Message]:
    shared = RecordDict() if content is None else content
    return [Message(shared, dst_node_id=node, message_type=kind) for node in grid.get_node_ids()]
