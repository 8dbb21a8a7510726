"""Handlers are run as a runtime runs them: on real Flower records that have crossed the wire, over real digits."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients import CLIENTS, ClientStrategy, Step
from fedkd.clients.adaptive_mutual import AdaptiveMutual
from fedkd.clients.adversarial import Adversarial
from fedkd.clients.byot import BYOT
from fedkd.clients.cfd import CFD
from fedkd.clients.codistillation import CoDistillation
from fedkd.clients.dml import DML
from fedkd.clients.fd import FD
from fedkd.clients.fedcad import FedCAD
from fedkd.clients.fedgen import FedGen
from fedkd.clients.fedgkd import FedGKD
from fedkd.clients.fedgkt import FedGKT
from fedkd.clients.fedntd import FedNTD
from fedkd.clients.fedproto import FedProto
from fedkd.clients.fedprox import FedProx
from fedkd.clients.fedssd import FedSSD
from fedkd.clients.fml import FML
from fedkd.clients.isolated import Isolated
from fedkd.clients.kdcl import KDCL
from fedkd.clients.one import ONE
from fedkd.clients.pcl import PCL
from fedkd.clients.ps_kd import PSKD
from fedkd.clients.supervised import Supervised
from fedkd.clients.teacher import Teacher
from fedkd.clients.tf_kd import TfKD
from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.federated import FederatedData, federate
from fedkd.data.partitions.iid import Iid
from fedkd.data.proxies.heldout import Heldout
from fedkd.engine import ClientSide, train
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.class_means import ClassMeans
from fedkd.knowledge.kinds.logits import Logits
from fedkd.knowledge.kinds.probabilities import Probabilities
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import predict
from fedkd.models.lenet import LeNet
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.tasks import Regression
from fedkd.training import Fit, Optimizer

Maker = Callable[..., ClientSide]
FIT = Fit(epochs=1, batch_size=16, optimizer=Optimizer(lr=0.1))
BRIEF = {
    "cfd": CFD(fit=FIT, digest=FIT),
    "codistillation": CoDistillation(fit=FIT, digest=FIT, pretrain=FIT),
    "adaptive_mutual": AdaptiveMutual(fit=FIT),
    "adversarial": Adversarial(fit=FIT),
    "byot": BYOT(fit=FIT),
    "dml": DML(fit=FIT),
    "fd": FD(fit=FIT, gamma=1.0),
    "kdcl": KDCL(fit=FIT),
    "one": ONE(fit=FIT),
    "pcl": PCL(fit=FIT),
    "ps_kd": PSKD(fit=FIT),
    "tf_kd": TfKD(fit=FIT),
    "fedcad": FedCAD(fit=FIT),
    "fedssd": FedSSD(fit=FIT),
    "fedgen": FedGen(fit=FIT),
    "fedgkd": FedGKD(fit=FIT),
    "fedgkt": FedGKT(fit=FIT),
    "fedntd": FedNTD(fit=FIT),
    "fedproto": FedProto(fit=FIT),
    "fedprox": FedProx(fit=FIT, mu=0.1),
    "fml": FML(fit=FIT),
    "isolated": Isolated(fit=FIT),
    "supervised": Supervised(fit=FIT),
    "teacher": Teacher(fit=FIT),
}


def message(server_round: int = 1, *, keep: bool = False, **records: Any) -> RecordDict:
    """Return the records of a train message after they have crossed the wire."""
    config = ConfigRecord({"server-round": server_round, "keep": keep})
    return deserialise(serialise(RecordDict({"config": config, **records})))


def knowledge(package: Package) -> dict[str, Any]:
    return {**to_records(package, Float32())}


def received(name: str, data: FederatedData) -> dict[str, Any]:
    """Return something that a client of this strategy may be sent."""
    assert data.proxy is not None
    if name in {"cfd", "codistillation", "fedgkt"}:
        ids = data.train.ids if name == "fedgkt" else data.proxy.ids[:20].flip(0)
        values = torch.randn(len(ids), 10, generator=torch.Generator().manual_seed(0))
        return knowledge(Package("logits", {"values": values}, ids=ids))
    if name == "fd":
        return knowledge(
            Package("class_means", {"values": torch.eye(10)}, counts=torch.ones(10, dtype=torch.long))
        )
    return {}


def stored(state: RecordDict) -> dict[str, Tensor]:
    return dict(state.array_records["fedkd.model"].to_torch_state_dict())


def weights_in(reply: RecordDict) -> dict[str, Tensor]:
    return dict(from_records(reply).arrays)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_every_client_strategy_is_tried_here() -> None:
    assert BRIEF.keys() == set(CLIENTS.names())


@pytest.mark.parametrize("name", list(BRIEF))
def test_every_client_strategy_trains_answers_and_is_the_same_when_run_again(
    name: str, client_side: Maker, digits: FederatedData
) -> None:
    side = client_side(BRIEF[name], kind=Weights())
    before = torch.get_rng_state()
    replies, states = [], []
    for _ in range(2):
        state = RecordDict()
        first = train(side, 2, message(1), state)
        state = deserialise(serialise(state))
        second = train(side, 2, message(2, **received(name, digits)), state)
        replies.append((serialise(first), serialise(second)))
        states.append(serialise(state))
    assert replies[0] == replies[1]
    assert states[0] == states[1]
    assert torch.equal(torch.get_rng_state(), before)
    metrics = second.metric_records["metrics"]
    assert metrics["num-examples"] == len(digits.client_train(2))
    assert math.isfinite(float(str(metrics["train-loss"])))
    assert all(weight.isfinite().all() for weight in weights_in(second).values())


@pytest.mark.parametrize("name", list(BRIEF))
def test_what_is_received_changes_what_is_learned_where_a_strategy_listens(
    name: str, client_side: Maker, digits: FederatedData
) -> None:
    side = client_side(BRIEF[name], kind=Weights())
    deaf = train(side, 1, message(2), RecordDict())
    told = train(side, 1, message(2, **received(name, digits)), RecordDict())
    assert same(weights_in(deaf), weights_in(told)) != (name in {"cfd", "codistillation", "fd", "fedgkt"})


@pytest.mark.parametrize("name", list(BRIEF))
def test_a_strategy_that_keeps_its_network_goes_on_from_it_and_the_others_start_from_what_they_are_sent(
    name: str, client_side: Maker
) -> None:
    side = client_side(BRIEF[name], kind=Weights())
    state = RecordDict()
    first = train(side, 0, message(1), state)
    assert ("fedkd.model" in state) == side.strategy.persistent
    again = train(side, 0, message(1), state)
    assert same(weights_in(first), weights_in(again)) != side.strategy.persistent
    if side.strategy.persistent:
        assert same(dict(side.crossing(stored(state))), weights_in(again))


def test_each_round_has_an_order_of_batches_of_its_own(client_side: Maker) -> None:
    side = client_side(Supervised(fit=FIT), kind=Weights())
    first, second = (train(side, 1, message(number), RecordDict()) for number in (1, 2))
    assert not same(weights_in(first), weights_in(second))


@dataclass(frozen=True, kw_only=True)
class Listening(CoDistillation):
    """Fails at once where a sample and what was said about it do not belong together."""

    def digest_loss(self, step: Step) -> Tensor:
        assert step.teacher is not None
        assert torch.equal(step.teacher.argmax(-1), step.targets)
        return super().digest_loss(step)


def test_what_was_said_of_a_proxy_sample_finds_it_by_its_id_in_whatever_order_it_comes(
    client_side: Maker, digits: FederatedData
) -> None:
    assert digits.proxy is not None
    some = digits.proxy.take([31, 2, 17, 8, 25, 0])
    said = torch.nn.functional.one_hot(some.targets, 10).float()
    side = client_side(Listening(fit=FIT, digest=Fit(batch_size=2)))
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]):
        package = Package("logits", {"values": said[order]}, ids=some.ids[order])
        train(side, 0, message(2, **knowledge(package)), RecordDict())


def test_probabilities_and_their_logarithms_teach_the_same(client_side: Maker, digits: FederatedData) -> None:
    assert digits.proxy is not None
    p = torch.softmax(torch.randn(40, 10, generator=torch.Generator().manual_seed(0)), dim=-1)
    side = client_side(CoDistillation(fit=FIT, digest=FIT), kind=Weights())
    answers = [
        weights_in(
            train(
                side,
                0,
                message(2, **knowledge(Package(kind, {"values": values}, ids=digits.proxy.ids))),
                RecordDict(),
            )
        )
        for kind, values in (("probabilities", p), ("logits", p.log()))
    ]
    assert same(*answers)


def test_a_client_answers_about_the_samples_that_it_is_asked_about_in_that_order(
    client_side: Maker, digits: FederatedData
) -> None:
    assert digits.proxy is not None
    side = client_side(Isolated(fit=FIT), kind=Probabilities())
    ids = digits.proxy.ids[torch.tensor([9, 3, 30])]
    ask = ArrayRecord({"ids": Array(ids.numpy())})
    some = from_records(train(side, 0, message(ask=ask), RecordDict()))
    everything = from_records(train(side, 0, message(), RecordDict()))
    assert some.ids is not None
    assert everything.ids is not None
    assert torch.equal(some.ids, ids)
    assert torch.equal(everything.ids, digits.proxy.ids)
    assert torch.allclose(some.values, everything.values[torch.tensor([9, 3, 30])], atol=1e-6)
    assert torch.allclose(some.values.sum(-1), torch.ones(3))


def test_class_means_are_those_of_the_trained_network_on_the_clients_own_samples(
    client_side: Maker, digits: FederatedData
) -> None:
    side, state = client_side(FD(fit=FIT), kind=ClassMeans()), RecordDict()
    package = from_records(train(side, 3, message(), state))
    network, own = side.network(3), digits.client_train(3)
    network.load_state_dict(stored(state))
    outputs = predict(network, own.inputs)
    assert package.counts is not None
    assert package.counts.tolist() == torch.bincount(own.targets, minlength=10).tolist()
    for label in own.targets.unique().tolist():
        assert torch.allclose(package.values[label], outputs[own.targets == label].mean(0), atol=1e-5)


def test_a_strategy_without_knowledge_shares_nothing_but_metrics(client_side: Maker) -> None:
    reply = train(client_side(Isolated(fit=FIT)), 0, message(), RecordDict())
    assert list(reply) == ["metrics"]


def test_a_client_without_samples_says_so_and_changes_nothing(
    client_side: Maker, digits: FederatedData
) -> None:
    nothing = np.empty(0, dtype=np.int64)
    data = replace(
        digits, assignments=(nothing, *digits.assignments[1:]), holdouts=(nothing, *digits.holdouts[1:])
    )
    for kind in (Weights(), ClassMeans(), Logits()):
        side = client_side(Supervised(fit=FIT), kind=kind, data=data)
        reply = train(side, 0, message(), RecordDict())
        assert reply.metric_records["metrics"]["num-examples"] == 0
        assert math.isnan(float(str(reply.metric_records["metrics"]["train-loss"])))
        assert all(values.isfinite().all() for values in weights_in(reply).values())


def test_clients_of_different_architectures_share_what_they_know_of_the_proxy_set(client_side: Maker) -> None:
    side = client_side(
        CoDistillation(fit=FIT), kind=Logits(), models=(MLP(), LeNet(), Logistic(), MLP(hidden=()))
    )
    for client in range(4):
        assert from_records(train(side, client, message(), RecordDict())).values.shape == (40, 10)


@pytest.mark.parametrize("name", ["codistillation", "fedprox", "isolated", "supervised"])
def test_every_strategy_that_needs_no_classes_learns_numbers(name: str, client_side: Maker) -> None:
    data = federate(Diabetes(), Iid(), Heldout(size=30), 3, Streams(0))
    strategy: ClientStrategy = BRIEF[name]
    task = Regression(mean=data.info.target_mean, std=data.info.target_std)
    side = client_side(strategy, data=data, kind=Logits(), task=task, models=(Logistic(),) * 3)
    state = RecordDict()
    said = from_records(train(side, 0, message(1), state))
    assert said.values.shape == (30, 1)
    if name == "codistillation":
        train(side, 0, message(2, **knowledge(said)), state)
