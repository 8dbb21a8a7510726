"""FedGEMS by hand: four public samples of two classes, a server that knows some of them, two clients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models.base import predict
from fedkd.models.logistic import Logistic
from fedkd.strategies import FedGEMSStrategy
from fedkd.training import Fit, Optimizer

IDS, LABELS = torch.tensor([10, 11, 12, 13]), torch.tensor([0, 0, 1, 1])
KNOWS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
"""What the server says at first: right about the first and third sample."""

ANSWERS = {
    0: torch.tensor(
        [[9.0, 9.0], [3.0, 0.0], [9.0, 9.0], [5.0, 0.0]]
    ),  # right about the second, wrong about the fourth
    1: torch.tensor([[9.0, 9.0], [1.0, 0.0], [9.0, 9.0], [2.0, 0.0]]),
}
STILL = Fit(epochs=1, batch_size=4, optimizer=Optimizer(name="sgd", lr=1e-12))
Taught = dict[str, Tensor]


def server(outputs: Tensor = KNOWS) -> nn.Module:
    """Return a linear network of one-hot samples that says exactly this."""
    with Streams(0).initialising("test"):
        network = Logistic().network((4,), 2)
    weight, bias = network.parameters()
    with torch.no_grad():
        weight.copy_(outputs.T)
        bias.zero_()
    return network


def proxy() -> Samples:
    return Samples({"x": torch.eye(4)}, LABELS, IDS)


def asked(content: RecordDict) -> list[int]:
    if "ask" not in content:
        return IDS.tolist()
    return [int(sample) for sample in content.array_records["ask"]["ids"].numpy()]


def say(client: int, content: RecordDict) -> RecordDict:
    """Answer what was asked."""
    ids = torch.tensor(asked(content), dtype=torch.long)
    records = to_records(Package("logits", {"values": ANSWERS[client][ids - 10]}, ids=ids), Float32())
    return RecordDict({**records, "metrics": MetricRecord({"num-examples": 5})})


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch) -> list[Taught]:
    """Write down what the distiller is given; it distils all the same."""
    given: list[Taught] = []
    honest = Distiller.distil

    def distil(self: Distiller, student: nn.Module, inputs: Any, teacher: Tensor, **options: Any) -> Any:
        given.append({"teacher": teacher, "shares": options["label_weights"], "targets": options["targets"]})
        return honest(self, student, inputs, teacher, **options)

    monkeypatch.setattr(Distiller, "distil", distil)
    return given


def strategy_of(network: nn.Module, fit: Fit = STILL) -> FedGEMSStrategy:
    return FedGEMSStrategy(student=network, proxy=proxy(), distiller=Distiller(label_weight=0.75, fit=fit))


def test_clients_are_asked_about_what_the_server_gets_wrong_and_never_knew(
    grid_saying: Callable[..., Grid], play: Any
) -> None:
    strategy = strategy_of(server())
    game = play(strategy, grid_saying(say, 2), ArrayRecord(server().state_dict()))
    assert asked(game.round().down[0]) == [11, 13]
    assert strategy.failures == []
    game.arrays = ArrayRecord(
        server(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])).state_dict()
    )
    assert asked(game.round().down[0]) == [13]  # it knew 10 once, and has learned 11
    game.arrays = ArrayRecord(
        server(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])).state_dict()
    )
    assert asked(game.round().down[0]) == []
    assert len(from_records(game.up[0]).values) == 0
    assert strategy.failures == []


def test_each_sample_is_taught_by_label_pool_or_the_clients_that_are_right(
    grid_saying: Callable[..., Grid], play: Any, lessons: list[Taught]
) -> None:
    strategy = strategy_of(server())
    game = play(strategy, grid_saying(say, 2), ArrayRecord(server().state_dict())).round()
    first = lessons[0]
    assert torch.equal(first["targets"], LABELS)
    # Right: the label alone. Wrong, and a client knows: three quarters of it. Wrong, and nobody knows: the label alone.
    assert first["shares"].tolist() == [1.0, 0.75, 1.0, 1.0]
    logits = torch.stack([ANSWERS[client][1] for client in (0, 1)])
    probabilities = logits.softmax(dim=1)
    entropy = -(probabilities * probabilities.log()).sum(dim=1)
    alpha = (1 / entropy).softmax(dim=0)
    assert torch.allclose(first["teacher"][1], alpha @ logits)
    assert strategy.teacher_weights() == pytest.approx({0: float(alpha[0]) / 2, 1: float(alpha[1]) / 2})
    # Then it has forgotten the first sample, and is reminded of what it said itself.
    game.arrays = ArrayRecord(
        server(torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 9.0], [1.0, 0.0]])).state_dict()
    )
    game.round()
    assert lessons[1]["shares"].tolist() == [0.75, 0.75, 1.0, 1.0]
    assert torch.equal(lessons[1]["teacher"][0], KNOWS[0])


def test_the_servers_loss_is_the_papers(grid_saying: Callable[..., Grid], play: Any) -> None:
    """One step of gradient descent on the mean of the three cases."""
    rate = 0.1
    fit = Fit(epochs=1, batch_size=4, optimizer=Optimizer(name="sgd", lr=rate))
    game = play(strategy_of(server(), fit), grid_saying(say, 2), ArrayRecord(server().state_dict())).round()
    network = server()
    said = network(torch.eye(4)).logits
    logits = torch.stack([ANSWERS[client][1] for client in (0, 1)])
    entropy = -(logits.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1)
    teacher = ((1 / entropy).softmax(dim=0) @ logits).softmax(dim=0)
    right = F.cross_entropy(said, LABELS, reduction="none")
    apart = (teacher * (teacher.log() - said[1].log_softmax(dim=0))).sum()
    loss = (right[0] + (0.75 * right[1] + 0.25 * apart) + right[2] + right[3]) / 4
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    learned = game.arrays.to_torch_state_dict()
    for (name, weight), gradient in zip(network.named_parameters(), gradients, strict=True):
        assert torch.allclose(learned[name], weight - rate * gradient, atol=1e-6)


def test_the_servers_word_about_all_public_samples_goes_down(
    grid_saying: Callable[..., Grid], play: Any
) -> None:
    game = (
        play(strategy_of(server()), grid_saying(say, 2), ArrayRecord(server().state_dict())).round().round()
    )
    received = from_records(game.down[1])
    assert received.kind == "logits"
    assert received.ids is not None
    assert torch.equal(received.ids, IDS)
    assert torch.allclose(received.values, predict(server(), proxy().inputs), atol=1e-6)


def test_a_restarted_server_still_knows_what_it_knew(grid_saying: Callable[..., Grid], play: Any) -> None:
    first, fresh = strategy_of(server()), strategy_of(server())
    assert first.state() == {}
    play(first, grid_saying(say, 2), ArrayRecord(server().state_dict())).round()
    fresh.load_state(first.state())
    forgot = ArrayRecord(server(-KNOWS).state_dict())
    game = play(fresh, grid_saying(say, 2), forgot)
    assert asked(game.round().down[0]) == []
