"""Clients that carry the server's network beside their own: what crosses, what is kept, and who answers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients.fml import FML
from fedkd.clients.isolated import Isolated
from fedkd.clients.supervised import Supervised
from fedkd.engine import ClientSide, evaluate, train, train_together, turns_of
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.knowledge import from_records
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import predict
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.training import Fit

Maker = Callable[..., ClientSide]
FIT = Fit(epochs=1, batch_size=8)
OWN = (MLP(hidden=(8,)), Logistic(), MLP(hidden=(8,)), Logistic())


def message(number: int, sent: dict[str, Tensor], **options: object) -> RecordDict:
    config = ConfigRecord({"server-round": number, **options})  # type: ignore[dict-item]
    return RecordDict({"config": config, "arrays": ArrayRecord(sent)})


def student(client_side: Maker) -> dict[str, Tensor]:
    return dict(client_side(Supervised()).network(0).state_dict())


@pytest.mark.parametrize("together", [False, True])
def test_only_the_carried_network_crosses_whatever_the_clients_own_ones_are(
    client_side: Maker, together: bool
) -> None:
    side = client_side(FML(fit=FIT), kind=Weights(), models=OWN)
    side = replace(side, engine=Vectorised()) if together else side
    sent = student(client_side)
    turns = turns_of(range(4), [message(1, sent)] * 4, [RecordDict() for _ in range(4)])
    for outcome in train_together(side, turns):
        assert isinstance(outcome, RecordDict)
        said = from_records(outcome).arrays
        assert {name: weight.shape for name, weight in said.items()} == {
            name: weight.shape for name, weight in sent.items()
        }
        assert not torch.equal(said["head.weight"], sent["head.weight"])


def test_a_client_keeps_its_own_network_and_takes_up_the_carried_one_anew(client_side: Maker) -> None:
    still = replace(FML(), fit=Fit(epochs=0))
    side, learning = (client_side(strategy, kind=Weights(), models=OWN) for strategy in (still, FML(fit=FIT)))
    state = RecordDict()
    sent = student(client_side)
    train(learning, 0, message(1, sent), state)
    kept = dict(state.array_records["fedkd.model"].to_torch_state_dict())
    other = {name: weight + 1 for name, weight in sent.items()}
    reply = train(side, 0, message(2, other), state)
    after = dict(state.array_records["fedkd.model"].to_torch_state_dict())
    for name, weight in after.items():
        part, _, rest = name.partition(".")
        assert torch.equal(weight, other[rest] if part == "carried" else kept[name])
    assert all(torch.equal(from_records(reply).arrays[name], weight) for name, weight in other.items())


def test_a_clients_own_network_answers_for_it(client_side: Maker) -> None:
    side = client_side(FML(fit=FIT), kind=Weights(), models=OWN)
    state = RecordDict()
    train(side, 0, message(1, student(client_side)), state)
    asked = RecordDict({"config": ConfigRecord({"server-round": 1, "splits": ["test"]})})
    said = torch.from_numpy(evaluate(side, 0, asked, state)["predictions"]["test"].numpy())
    own = client_side(Supervised(), models=OWN).network(0)
    weights = state.array_records["fedkd.model"].to_torch_state_dict()
    own.load_state_dict(
        {name.removeprefix("own."): weight for name, weight in weights.items() if name.startswith("own.")}
    )
    torch.testing.assert_close(said, predict(own, side.data.test.inputs), rtol=1e-5, atol=1e-5)


def test_without_mutual_learning_the_carried_network_is_fedavgs_and_the_own_one_trains_alone(
    client_side: Maker,
) -> None:
    sent = student(client_side)
    models = (Logistic(),) * 4
    apart = client_side(FML(fit=FIT, alpha=1.0, beta=1.0), kind=Weights(), models=models)
    state = RecordDict()
    shared = from_records(train(apart, 1, message(1, sent), state)).arrays
    plain = train(client_side(Supervised(fit=FIT), kind=Weights()), 1, message(1, sent), RecordDict())
    for name, weight in from_records(plain).arrays.items():
        torch.testing.assert_close(shared[name], weight)
    start = {
        name.removeprefix("own."): weight
        for name, weight in apart.initial_weights(1).items()
        if name.startswith("own.")
    }
    alone = client_side(Isolated(fit=FIT), kind=Weights())
    expected = from_records(train(alone, 1, message(1, start), RecordDict())).arrays
    kept = state.array_records["fedkd.model"].to_torch_state_dict()
    for name, weight in expected.items():
        torch.testing.assert_close(kept[f"own.{name}"], weight)
