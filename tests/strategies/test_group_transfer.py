"""The server of FedGKT: its loss by hand, whom it tells what, clients that fail, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.distillation import Distiller
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models.base import predict
from fedkd.strategies.group_transfer import FedGKT
from fedkd.tasks import Classification
from fedkd.training import Fit, Optimizer

GridSaying = Callable[..., Grid]
TEMPERATURE, RATE = 2.0, 0.1
DISTILLER = Distiller(
    temperature=TEMPERATURE,
    label_weight=0.5,
    fit=Fit(epochs=1, batch_size=100, optimizer=Optimizer(lr=RATE)),
)


def said_by(client: int) -> Package:
    """Return what a client says of as many samples as its number plus two; ids do not rise."""
    draw, count = torch.Generator().manual_seed(client), client + 2
    return Package(
        "features",
        {"values": torch.randn(count, 2, 2, generator=draw), "logits": torch.randn(count, 3, generator=draw)},
        ids=100 * client + torch.arange(count).flip(0),
        targets=torch.arange(count) % 3,
    )


def reply(package: Package, size: int | None = None) -> RecordDict:
    count = len(package.values) if size is None else size
    metrics = MetricRecord({"num-examples": count})
    return RecordDict({**to_records(package, Float32()), "metrics": metrics})


def server(**changed: Any) -> FedGKT:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.linspace(-1, 1, weight.numel()).reshape(weight.shape))
    options = {"shape": (2, 2), "num_classes": 3, "task": Classification(), "distiller": DISTILLER} | changed
    return FedGKT(student=network, **options)


def test_the_server_learns_from_labels_and_from_what_clients_say_at_a_temperature(
    grid_saying: GridSaying, play: Any
) -> None:
    strategy = server()
    before = {name: tensor.clone() for name, tensor in strategy.student.state_dict().items()}
    play(strategy, grid_saying(lambda client, _: reply(said_by(client)), 3)).round()
    told = [said_by(client) for client in range(3)]
    features = torch.cat([one.values for one in told]).flatten(1)
    logits = torch.cat([one.arrays["logits"] for one in told])
    labels = torch.cat([one.targets for one in told if one.targets is not None])
    weight, bias = (before[name].clone().requires_grad_() for name in ("1.weight", "1.bias"))
    answer = F.linear(features, weight, bias)
    soft = F.softmax(logits / TEMPERATURE, dim=1)
    divergence = (soft * (soft.log() - F.log_softmax(answer / TEMPERATURE, dim=1))).sum(dim=1).mean()
    loss = F.cross_entropy(answer, labels) + TEMPERATURE**2 * divergence
    gradients = torch.autograd.grad(loss, (weight, bias))
    after = strategy.student.state_dict()
    # One step on all samples; half of the loss, as `label_weight` is a share.
    for name, gradient in zip(("1.weight", "1.bias"), gradients, strict=True):
        torch.testing.assert_close(after[name], before[name] - RATE * gradient / 2)


def test_each_client_is_told_what_the_server_says_of_its_own_samples_by_their_ids(
    grid_saying: GridSaying, play: Any
) -> None:
    game = play(server(), grid_saying(lambda client, _: reply(said_by(client)), 3)).round()
    assert all(set(content) == {"config"} for content in game.down.values())
    expected = {
        client: predict(game.strategy.student, {"features": said_by(client).values}) for client in range(3)
    }
    game.round()
    for client in range(3):
        told = from_records(game.down[client])
        assert told.kind == "logits"
        assert told.ids is not None
        assert told.ids.tolist() == (100 * client + torch.arange(client + 2).flip(0)).tolist()
        assert torch.equal(told.values, expected[client])
    weights = game.strategy.completed()["weights"].to_torch_state_dict()
    assert all(torch.equal(weights[name], w) for name, w in game.strategy.student.state_dict().items())


def test_a_client_that_failed_is_told_what_it_was_told_before_also_after_a_restart(
    grid_saying: GridSaying, play: Any
) -> None:
    def say(client: int, content: RecordDict) -> RecordDict:
        if client == 1 and content["config"]["server-round"] == 2:
            raise RuntimeError("its battery is empty")
        return reply(said_by(client))

    game = play(server(), grid_saying(say, 3)).round().round()
    assert [failure.client for failure in game.strategy.failures] == [1]
    before = from_records(game.down[1]).values
    again = server()
    again.load_state({name: tensor.clone() for name, tensor in game.strategy.state().items()})
    other = play(again, grid_saying(say, 3))
    other.rounds = 2
    for one in (game.round(), other.round()):
        assert torch.equal(from_records(one.down[1]).values, before)
        assert not torch.equal(from_records(one.down[0]).values, before[:2])
    for name, weight in game.strategy.state().items():
        assert torch.equal(other.strategy.state()[name], weight)


def test_clients_of_0_and_1_samples_are_no_failures_and_who_has_none_is_never_told(
    grid_saying: GridSaying, play: Any
) -> None:
    def say(client: int, _: RecordDict) -> RecordDict:
        package = said_by(client)
        assert package.ids is not None
        assert package.targets is not None
        few = {name: array[:client] for name, array in package.arrays.items()}
        return reply(Package("features", few, ids=package.ids[:client], targets=package.targets[:client]))

    game = play(server(), grid_saying(say, 3)).round().round()
    assert game.strategy.failures == []
    assert set(game.down[0]) == {"config"}
    assert len(from_records(game.down[1]).values) == 1


def changed(package: Package, **arrays: Tensor) -> Package:
    return Package("features", {**package.arrays, **arrays}, ids=package.ids, targets=package.targets)


USUAL = said_by(1)
BAD = {
    r"shape \[3, 4\], expected \[3, 2, 2\]": changed(USUAL, values=torch.zeros(3, 4)),
    "without logits of 3 classes": changed(USUAL, logits=torch.zeros(3, 2)),
    "not finite": changed(USUAL, logits=torch.full((3, 3), torch.nan)),
    "without the label": Package("features", USUAL.arrays, ids=USUAL.ids),
    "not from 0 to 2": Package("features", USUAL.arrays, ids=USUAL.ids, targets=torch.tensor([0, 1, 3])),
    "sent logits, expected features": Package("logits", {"values": torch.zeros(3, 3)}, ids=USUAL.ids),
}


@pytest.mark.parametrize("said", BAD)
def test_what_the_server_cannot_learn_from_is_its_clients_failure(
    said: str, grid_saying: GridSaying, play: Any
) -> None:
    game = play(
        server(), grid_saying(lambda client, _: reply(BAD[said] if client == 0 else USUAL, 3), 2)
    ).round()
    [failure] = game.strategy.failures
    assert failure.client == 0
    with pytest.raises(ValueError, match=said):
        raise ValueError(failure.reason)
