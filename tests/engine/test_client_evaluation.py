"""Evaluation by a client: its own held-out samples, and its raw outputs on the splits that it is asked about."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor, nn

from fedkd.clients.isolated import Isolated
from fedkd.clients.supervised import Supervised
from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.federated import FederatedData, federate
from fedkd.data.partitions.iid import Iid
from fedkd.data.proxies.heldout import Heldout
from fedkd.engine import ClientSide, Turn, evaluate, evaluate_together, train, train_together
from fedkd.engine.engines.base import TrainingEngine
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.kinds.logits import Logits
from fedkd.models.base import Model, predict
from fedkd.models.logistic import Logistic
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.tasks import Classification, Regression
from fedkd.training import Fit, Optimizer

Maker = Callable[..., ClientSide]
FIT = Fit(epochs=1, batch_size=16, optimizer=Optimizer(lr=0.1))


def message(*, keep: bool = False) -> RecordDict:
    config = ConfigRecord({"server-round": 1, "keep": keep})
    return deserialise(serialise(RecordDict({"config": config})))


def question(*splits: str, **records: ArrayRecord) -> RecordDict:
    config = ConfigRecord({"server-round": 1, "splits": list(splits)})
    return deserialise(serialise(RecordDict({"config": config, **records})))


def stored(state: RecordDict) -> dict[str, torch.Tensor]:
    return dict(state.array_records["fedkd.model"].to_torch_state_dict())


def test_evaluation_gives_own_metrics_and_raw_outputs_on_the_splits_that_are_asked_for(
    client_side: Maker, digits: FederatedData
) -> None:
    side, state = client_side(Isolated(fit=FIT)), RecordDict()
    train(side, 1, message(), state)
    reply = evaluate(side, 1, question("validation", "test"), state)
    network, own = side.network(1), digits.client_holdout(1)
    network.load_state_dict(stored(state))
    for split, samples in (("validation", digits.validation), ("test", digits.test)):
        said = torch.from_numpy(reply.array_records["predictions"][split].numpy().copy())
        assert torch.equal(said, predict(network, samples.inputs))
    expected = Classification().metrics(predict(network, own.inputs), own.targets)
    assert dict(reply.metric_records["metrics"]) == {"num-examples": len(own), **expected}
    assert list(evaluate(side, 1, question(), state).array_records["predictions"]) == []


def test_a_client_that_keeps_no_network_evaluates_the_trained_one_once_if_told_to_keep_it(
    client_side: Maker, digits: FederatedData
) -> None:
    side, state = client_side(Supervised(fit=FIT), kind=Logits()), RecordDict()
    train(side, 0, message(keep=True), state)
    network = side.network(0)
    network.load_state_dict(stored(state))
    reply = evaluate(side, 0, question("test"), state)
    said = torch.from_numpy(reply.array_records["predictions"]["test"].numpy().copy())
    assert torch.equal(said, predict(network, digits.test.inputs))
    assert "fedkd.model" not in state
    untrained = evaluate(side, 0, question("test"), state)
    said = torch.from_numpy(untrained.array_records["predictions"]["test"].numpy().copy())
    assert torch.equal(said, predict(side.network(0), digits.test.inputs))


def test_a_client_that_was_never_trained_evaluates_the_weights_it_is_sent(
    client_side: Maker, digits: FederatedData
) -> None:
    side = client_side(Supervised())
    network = copy.deepcopy(side.network(0))
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3.0)
    reply = evaluate(side, 0, question("test", arrays=ArrayRecord(network.state_dict())), RecordDict())
    said = torch.from_numpy(reply.array_records["predictions"]["test"].numpy().copy())
    assert torch.equal(said, predict(network, digits.test.inputs))


def test_a_client_without_held_out_samples_says_nan_and_still_answers_about_the_global_splits(
    client_side: Maker, digits: FederatedData
) -> None:
    nothing = np.empty(0, dtype=np.int64)
    side = client_side(Supervised(), data=replace(digits, holdouts=(nothing, *digits.holdouts[1:])))
    reply = evaluate(side, 0, question("test"), RecordDict())
    assert reply.metric_records["metrics"]["num-examples"] == 0
    assert math.isnan(float(str(reply.metric_records["metrics"]["accuracy"])))
    assert reply.array_records["predictions"]["test"].numpy().shape == (len(digits.test), 10)


class Moody(nn.Module):
    """Says nothing in evaluation mode once its first bias is large."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and float(self.head.bias.detach()[0]) > 5.0:
            raise RuntimeError("not to be judged")
        return self.head(x.flatten(1))


@dataclass(frozen=True, kw_only=True)
class Moodily(Model):
    """A recipe for the moody network."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        del shape, num_outputs
        return Moody()


@pytest.mark.parametrize("engine", [Sequential(), Vectorised()])
def test_a_client_whose_network_cannot_be_judged_fails_alone_where_its_cohort_falls_back(
    engine: TrainingEngine, client_side: Maker
) -> None:
    side = client_side(Supervised(fit=FIT), kind=Logits(), models=(Moodily(),) * 4, engine=engine)
    weights = side.network(0).state_dict()
    moody = {**weights, "head.bias": weights["head.bias"] + 9.0}
    sent = [question("test", arrays=ArrayRecord(moody if client == 2 else weights)) for client in range(4)]
    turns = [Turn(client, Mail(content), RecordDict()) for client, content in enumerate(sent)]
    for outcomes in (
        evaluate_together(side, turns),
        train_together(side, turns),
    ):  # or cannot be asked by the server
        assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, True, False]
        assert str(outcomes[2]) == "not to be judged"


def test_numbers_are_judged_in_the_own_units_of_the_data(client_side: Maker) -> None:
    data = federate(Diabetes(), Iid(), Heldout(size=30), 3, Streams(0))
    task = Regression(mean=data.info.target_mean, std=data.info.target_std)
    side = client_side(Isolated(fit=FIT), data=data, kind=Logits(), task=task, models=(Logistic(),) * 3)
    state = RecordDict()
    train(side, 0, message(), state)
    measured = evaluate(side, 0, question("test"), state).metric_records["metrics"]
    assert measured.keys() == {"num-examples", "r2", "rmse", "mae", "loss"}
    assert 20 < float(str(measured["rmse"])) < 120  # the deviation of the targets is 77
