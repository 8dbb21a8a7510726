"""A network that teaches clients on their own samples: what it says, and that it stands still while they train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients import ClientStrategy, Situation, Step
from fedkd.clients.fedntd import FedNTD
from fedkd.clients.supervised import Supervised
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, train, train_together, turns_of
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import predict
from fedkd.training import Fit

Maker = Callable[..., ClientSide]
STILL = Fit(epochs=2, batch_size=8)


@dataclass(frozen=True, kw_only=True)
class Distant(ClientStrategy):
    """Has the squared distance from its teacher as its loss: 0 as long as neither moves."""

    receives: ClassVar[tuple[str, ...]] = ("weights",)

    def train_loss(self, step: Step) -> Tensor:
        assert step.teacher is not None
        return (step.outputs.logits - step.teacher).square().mean()

    def teacher(self, situation: Situation) -> Mapping[str, Tensor]:
        return situation.start if situation.received is None else situation.received.arrays


def message(number: int, package: Package | None = None) -> RecordDict:
    said = {} if package is None else to_records(package, Float32())
    return RecordDict({"config": ConfigRecord({"server-round": number}), **said})


@pytest.mark.parametrize("together", [False, True])
def test_a_client_that_is_its_own_teacher_stays_where_it_is(client_side: Maker, together: bool) -> None:
    side = client_side(Distant(fit=STILL), kind=Weights())
    side = replace(side, engine=Vectorised()) if together else side
    turns = turns_of(range(4), [message(1)] * 4, [RecordDict() for _ in range(4)])
    for client, outcome in enumerate(train_together(side, turns)):
        assert isinstance(outcome, RecordDict)
        assert float(str(outcome["metrics"]["train-loss"])) < 1e-10
        for name, weight in from_records(outcome).arrays.items():
            torch.testing.assert_close(weight, side.initial_weights(client)[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("together", [False, True])
def test_the_teacher_that_came_is_asked_about_each_clients_own_samples(
    together: bool, client_side: Maker, digits: FederatedData
) -> None:
    teacher = client_side(Supervised()).network(0)
    with torch.no_grad():
        teacher.head.weight.add_(0.01)
    side = client_side(Distant(fit=Fit(epochs=1, batch_size=1000)), kind=Weights())
    side = replace(side, engine=Vectorised()) if together else side
    package = Package("weights", dict(teacher.state_dict()))
    turns = turns_of(range(4), [message(1, package)] * 4, [RecordDict() for _ in range(4)])
    for client, outcome in enumerate(train_together(side, turns)):
        assert isinstance(outcome, RecordDict)
        own = digits.client_train(client).inputs
        expected = (predict(teacher, own) - predict(side.network(client), own)).square().mean()
        assert float(str(outcome["metrics"]["train-loss"])) == pytest.approx(float(expected), rel=1e-4)


def test_a_teacher_of_another_architecture_is_that_clients_failure(client_side: Maker) -> None:
    side = client_side(Distant(fit=STILL), kind=Weights())
    with pytest.raises(ValueError, match=r"head\.weight"):
        train(
            side,
            0,
            message(1, Package("weights", {"head.weight": torch.zeros(10, 3), "head.bias": torch.zeros(10)})),
            RecordDict(),
        )


def test_not_true_distillation_of_weight_zero_is_plain_training(client_side: Maker) -> None:
    ends = []
    for strategy in (Supervised(fit=STILL), FedNTD(fit=STILL, beta=0.0)):
        reply = train(client_side(strategy, kind=Weights()), 1, message(1), RecordDict())
        ends.append(from_records(reply).arrays)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
