"""Clients whose training must be another one's, bit for bit, and networks that begin alike or each on its own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients.codistillation import CoDistillation
from fedkd.clients.fd import FD
from fedkd.clients.fedprox import FedProx
from fedkd.clients.isolated import Isolated
from fedkd.clients.supervised import Supervised
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, train
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.logits import Logits
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import predict
from fedkd.models.lenet import LeNet
from fedkd.models.mlp import MLP
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.training import Fit, Optimizer

Maker = Callable[..., ClientSide]
FIT = Fit(epochs=1, batch_size=16, optimizer=Optimizer(lr=0.1))


def message(server_round: int = 1, *, keep: bool = False, **records: Any) -> RecordDict:
    """Return the records of a train message after they have crossed the wire."""
    config = ConfigRecord({"server-round": server_round, "keep": keep})
    return deserialise(serialise(RecordDict({"config": config, **records})))


def weights_in(reply: RecordDict) -> dict[str, Tensor]:
    return dict(from_records(reply).arrays)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_fedprox_without_a_pull_is_fedavg_bit_for_bit(client_side: Maker) -> None:
    plan = Fit(epochs=3, batch_size=8, optimizer=Optimizer(lr=0.1, momentum=0.9))
    replies = [
        train(client_side(strategy, kind=Weights()), 1, message(), RecordDict())
        for strategy in (Supervised(fit=plan), FedProx(fit=plan, mu=0.0), FedProx(fit=plan, mu=1.0))
    ]
    fedavg, without_pull, pulled = (weights_in(reply) for reply in replies)
    assert same(fedavg, without_pull)
    assert not same(fedavg, pulled)


def test_fd_of_weight_zero_is_local_training_bit_for_bit(client_side: Maker) -> None:
    means = Package("class_means", {"values": torch.eye(10)}, counts=torch.ones(10, dtype=torch.long))
    answers = []
    for strategy in (Isolated(fit=FIT), FD(fit=FIT, gamma=0.0)):
        side, state = client_side(strategy, kind=Weights()), RecordDict()
        train(side, 1, message(1), state)
        answers.append(weights_in(train(side, 1, message(2, **to_records(means, Float32())), state)))
    assert same(*answers)


def test_networks_that_start_alike_or_each_on_its_own(client_side: Maker) -> None:
    models = (MLP(hidden=(8,)), MLP(hidden=(8,)), LeNet(), LeNet())
    alike = client_side(Supervised(), models=models)
    apart = client_side(CoDistillation(), models=models)
    assert same(alike.network(0).state_dict(), alike.network(1).state_dict())
    assert same(alike.network(2).state_dict(), alike.network(3).state_dict())
    assert not same(apart.network(0).state_dict(), apart.network(1).state_dict())
    assert same(apart.network(1).state_dict(), apart.network(1).state_dict())


@pytest.mark.parametrize("as_flower_sends", [True, False])
def test_received_weights_are_where_training_starts(
    client_side: Maker, digits: FederatedData, as_flower_sends: bool
) -> None:
    still = client_side(Supervised(fit=Fit(epochs=0)), kind=Weights())
    sent = {name: weight + 1 for name, weight in still.network(0).state_dict().items()}
    record = {"arrays" if as_flower_sends else "weights": ArrayRecord(sent)}
    assert same(weights_in(train(still, 0, message(**record), RecordDict())), sent)
    outputs = train(replace(still, kind=Logits()), 0, message(**record), RecordDict())
    network = still.network(0)
    network.load_state_dict(sent)
    assert digits.proxy is not None
    assert torch.allclose(from_records(outputs).values, predict(network, digits.proxy.inputs))
