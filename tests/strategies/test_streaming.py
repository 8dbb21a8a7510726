"""Replies are taken one by one: nothing is held of a reply once the next one is asked for, and their order does not matter."""

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.fusions.base import Fusion
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.foundation.errors import RoundFailed
from fedkd.knowledge import Package, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models.logistic import Logistic
from fedkd.strategies import DSFL, FD, FedAvg, FedDF, Federated, FedMD, Local, Sampling
from fedkd.training import Fit

GridMaker = Callable[..., Grid]
CLIENTS = 12
PROXY = Samples({"x": torch.eye(3)}, torch.tensor([0, 1, 0]), torch.tensor([40, 7, 12]))
STILL = Distiller(fit=Fit(epochs=0))


class Counting(Array):
    """An array that counts how often it is decoded."""

    def numpy(self) -> Any:
        self.__dict__["times"] = self.__dict__.get("times", 0) + 1
        return super().numpy()


@dataclass(frozen=True, kw_only=True)
class Median(Fusion):
    """The median of logits, which no sum gives."""

    def fuse(self, outputs: Tensor, weights: Tensor) -> Tensor:
        del weights
        return outputs.median(dim=0).values


class Forwards(nn.Module):
    """A network that counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.times = nn.Linear(3, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        self.times += 1
        said: Tensor = self.head(x)
        return said


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Logistic().network((3,), 2)


def strategies() -> dict[str, Federated]:
    return {
        "local": Local(),
        "fedavg": FedAvg(),
        "fd": FD(num_classes=2),
        "fedmd": FedMD(student=network(), proxy=PROXY),
        "dsfl": DSFL(student=network(), proxy=PROXY),
        "feddf": FedDF(students=network(), proxy=PROXY, distiller=STILL),
    }


def drawn(client: int, *shape: int) -> Tensor:
    return 3.0 * torch.randn(shape, generator=torch.Generator().manual_seed(client))


def say(method: str, client: int) -> RecordDict:
    """Return what a client of the method says; every third one speaks about a part of the proxy set."""
    metrics = MetricRecord(
        {"num-examples": 1 + client % 5, "train-loss": 0.1 * client, "curve": [1.0, float(client)]}
    )
    if method == "local":
        return RecordDict({"metrics": metrics})
    if method in {"fedavg", "feddf"}:
        weights = {name: drawn(client, *w.shape) for name, w in network().state_dict().items()}
        records: dict[str, Any] = {"arrays": ArrayRecord(weights)}
    elif method == "fd":
        counts = torch.tensor([client % 3, 1])
        records = dict(
            to_records(Package("class_means", {"values": drawn(client, 2, 2)}, counts=counts), Float32())
        )
    else:
        rows = torch.tensor([2, 0]) if client % 3 == 0 else torch.arange(3)
        said = Package("logits", {"values": drawn(client, 3, 2)[rows]}, ids=PROXY.ids[rows])
        records = dict(to_records(said, Float32()))
    arrays = ArrayRecord()
    for name, array in records["arrays"].items():
        arrays[name] = Counting(array.dtype, array.shape, array.stype, array.data)
    return RecordDict({**records, "arrays": arrays, "metrics": metrics})


def asked(strategy: Federated, grid: Grid, server_round: int = 1) -> list[Message]:
    arrays = ArrayRecord(network().state_dict())
    return list(strategy.configure_train(server_round, arrays, ConfigRecord(), grid))


@pytest.fixture
def grid(grid_saying: GridMaker) -> Grid:
    return grid_saying(lambda *_: RecordDict(), CLIENTS)


METHODS = list(strategies())


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_held_of_a_reply_when_the_next_one_comes_and_each_array_is_decoded_once(
    method: str, grid: Grid
) -> None:
    strategy, decoded = strategies()[method], []

    def come() -> Iterator[Message]:
        seen: list[weakref.ref[Any]] = []
        for client, message in enumerate(asked(strategy, grid)):
            assert [held for held in seen if held() is not None] == []
            reply = Message(say(method, client), reply_to=message)
            arrays = reply.content.get("arrays", {})
            seen += [weakref.ref(reply), *map(weakref.ref, arrays.values())]
            yield reply
            decoded.extend(array.__dict__["times"] for array in arrays.values())
            del reply, arrays

    strategy.aggregate_train(1, come())
    assert set(decoded) == ({1} if method != "local" else set())
    assert len(strategy._usable) == CLIENTS


@pytest.mark.parametrize("method", METHODS)
def test_replies_in_any_order_give_the_same_bits(method: str, grid: Grid) -> None:
    ends = []
    for order in (range(CLIENTS), [*range(5, CLIENTS), *range(5)], reversed(range(CLIENTS))):
        strategy = strategies()[method]
        messages = asked(strategy, grid)
        replies = (Message(say(method, client), reply_to=messages[client]) for client in order)
        arrays, metrics = strategy.aggregate_train(1, replies)
        following = [message.content.object_id for message in asked(strategy, grid, 2)]
        kept = None if arrays is None else {name: array.data for name, array in arrays.items()}
        ends.append((kept, dict(metrics or {}), following, strategy.teacher_weights()))
    assert ends[0] == ends[1] == ends[2]


def test_the_mean_is_that_of_flowers_own_fedavg(grid: Grid) -> None:
    strategy = FedAvg()
    messages = asked(strategy, grid)
    replies = [Message(say("fedavg", client), reply_to=message) for client, message in enumerate(messages)]
    for client, reply in enumerate(replies):
        reply.content.array_records["arrays"]["counter"] = Array(np.array(client))
    strategy._shapes = {**strategy._shapes, "counter": ()}
    ours, our_metrics = strategy.aggregate_train(1, iter(replies))
    theirs, their_metrics = flower.FedAvg().aggregate_train(1, replies)
    assert ours is not None
    assert theirs is not None
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype
        assert np.allclose(ours[name].numpy(), array.numpy(), rtol=1e-6, atol=1e-6)
    assert our_metrics is not None
    assert our_metrics.keys() == (their_metrics or {}).keys()
    for name, value in (their_metrics or {}).items():
        assert our_metrics[name] == pytest.approx(value)


def test_a_fusion_that_needs_all_answers_at_once_gets_them_in_the_order_of_clients(grid: Grid) -> None:
    strategy = FedMD(student=network(), proxy=PROXY, fusion=Median())
    messages = asked(strategy, grid)
    said = [say("fedmd", client) for client in range(CLIENTS)]
    strategy.aggregate_train(
        1, (Message(said[client], reply_to=messages[client]) for client in (4, 1, 2, 8, 7, 5))
    )
    assert strategy._consensus is not None
    expected = torch.stack([drawn(client, 3, 2) for client in (1, 2, 4, 5, 7, 8)]).median(dim=0).values
    assert torch.equal(strategy._consensus.values, expected.softmax(dim=-1))


def test_a_round_asks_the_student_once_how_wide_its_answers_are(grid: Grid) -> None:
    student = Forwards()
    strategy = FedMD(student=student, proxy=PROXY)
    for server_round in (1, 2):
        arrays = ArrayRecord(student.state_dict())
        messages = list(strategy.configure_train(server_round, arrays, ConfigRecord(), grid))
        strategy.aggregate_train(
            server_round, (Message(say("fedmd", client), reply_to=m) for client, m in enumerate(messages))
        )
    assert student.times == 1


def test_one_network_of_each_architecture_takes_the_weights_of_one_teacher_after_the_other(
    grid: Grid,
) -> None:
    student = Forwards()
    strategy = FedDF(students=student, proxy=PROXY, distiller=STILL)
    messages = list(strategy.configure_train(1, ArrayRecord(student.state_dict()), ConfigRecord(), grid))
    strategy.aggregate_train(
        1, (Message(say("feddf", client), reply_to=message) for client, message in enumerate(messages))
    )
    (teacher,) = strategy._faculty._networks.values()
    assert teacher is not student
    assert isinstance(teacher, Forwards)
    assert teacher.times == CLIENTS


def test_too_few_usable_replies_are_noticed_when_all_have_come(grid: Grid) -> None:
    strategy = Local(Sampling(min_clients=2))
    messages = asked(strategy, grid)
    come = iter([Message(say("local", client), reply_to=messages[client]) for client in (3,)])
    stream = strategy.sift(come, lambda _: None)
    assert next(stream).client == 3
    with pytest.raises(RoundFailed, match="only 1 clients"):
        next(stream)


def test_metrics_beyond_all_numbers_do_not_end_the_round(grid: Grid) -> None:
    strategy = Local()
    messages = asked(strategy, grid)
    said = [{"loss": float("inf")}, {"loss": float("-inf")}, {"gap": 1e308}, {"gap": 1e308}]
    replies = [
        Message(RecordDict({"metrics": MetricRecord({"num-examples": 9, **each})}), reply_to=message)
        for message, each in zip(messages, said, strict=False)
    ]
    replies[0].content["more"] = MetricRecord({"num-examples": [1, 2], "loss": 1.0})
    _, metrics = strategy.aggregate_train(1, replies)
    assert metrics is not None
    assert np.isnan(metrics["loss"])
    assert metrics["gap"] == float("inf")


def test_metrics_that_not_every_client_sends_are_means_over_those_that_do(grid: Grid) -> None:
    strategy = FedAvg()
    messages = asked(strategy, grid)
    replies = [Message(say("fedavg", client), reply_to=messages[client]) for client in range(2)]
    replies[0].content["metrics"] = MetricRecord({"num-examples": 3, "own": 2.0, "train-loss": float("nan")})
    _, metrics = strategy.aggregate_train(1, replies)
    assert dict(metrics or {}) == {"own": 2.0, "train-loss": 0.1, "curve": [1.0, 1.0]}
