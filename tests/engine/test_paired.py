"""Clients whose own samples come with proxy samples, and who train a discriminator beside their network."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients import ClientStrategy
from fedkd.clients.adversarial import Adversarial
from fedkd.clients.teacher import Teacher
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, train, train_together, turns_of
from fedkd.engine.beginning import Turn, begin
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.engine.stages import _pairs, _public_of
from fedkd.knowledge import from_records
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import Model
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.training import Fit, Optimizer

Maker = Callable[..., ClientSide]
FIT = Fit(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=1e-3))
STRONG = Adversarial(fit=FIT, weight=0.5, hidden=(8,))


def message(number: int = 1, sent: dict[str, Tensor] | None = None) -> RecordDict:
    config = RecordDict({"config": ConfigRecord({"server-round": number})})
    if sent is not None:
        config["arrays"] = ArrayRecord(sent)
    return config


def after(side: ClientSide, *, together: bool) -> list[dict[str, Tensor]]:
    """Return what four clients send after a round."""
    side = replace(side, engine=Vectorised()) if together else side
    found = []
    for outcome in train_together(
        side, turns_of(range(4), [message()] * 4, [RecordDict() for _ in range(4)])
    ):
        assert isinstance(outcome, RecordDict), outcome
        found.append(dict(from_records(outcome).arrays))
    return found


def same(some: list[dict[str, Tensor]], others: list[dict[str, Tensor]]) -> bool:
    pairs = list(zip(some, others, strict=True))
    return all(one.keys() == other.keys() for one, other in pairs) and all(
        torch.equal(weight, other[name]) for one, other in pairs for name, weight in one.items()
    )


@pytest.mark.parametrize("together", [False, True])
def test_without_weight_clients_are_teachers_bit_for_bit_whoever_watches(
    client_side: Maker, together: bool
) -> None:
    def trained(strategy: ClientStrategy) -> list[dict[str, Tensor]]:
        side = client_side(strategy, kind=Weights(), models=(MLP(hidden=(8,)),) * 4)
        return after(side, together=together)

    teachers = trained(Teacher(fit=FIT))
    assert same(trained(replace(STRONG, weight=0.0)), teachers)
    assert not same(trained(STRONG), teachers)


@pytest.mark.parametrize("space", ["answers", "features"])
def test_what_dropout_leaves_out_of_public_samples_is_a_clients_own_in_both_engines(
    client_side: Maker, space: str, droppingly: Model
) -> None:
    strategy = replace(STRONG, space=space)
    side = client_side(strategy, kind=Weights(), models=(droppingly,) * 4)
    for one, other in zip(after(side, together=False), after(side, together=True), strict=True):
        for name, weight in one.items():
            torch.testing.assert_close(weight, other[name], rtol=1e-4, atol=1e-5)


def test_proxy_samples_come_equally_often_and_otherwise_each_round(
    client_side: Maker, digits: FederatedData
) -> None:
    some = torch.arange(100).numpy()
    side = client_side(STRONG, data=replace(digits, assignments=(some, some[:7], some[:0], some)))

    def drawn(client: int, number: int = 1) -> Tensor:
        one = begin(side, Turn(client, Mail(message(number)), RecordDict()))
        return _pairs(side, one.stages[0], one)

    counts = torch.bincount(drawn(0), minlength=40)
    assert len(drawn(0)) == 100
    assert set(counts.tolist()) == {2, 3}
    assert len(set(drawn(1).tolist())) == 7
    assert len(drawn(2)) == 0
    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(0, number=2))
    assert not torch.equal(drawn(0), drawn(3))


def test_clients_see_the_inputs_of_proxy_samples_and_nothing_of_their_labels(
    client_side: Maker, digits: FederatedData
) -> None:
    assert digits.proxy is not None
    hidden = replace(digits.proxy, targets=torch.zeros_like(digits.proxy.targets))
    side = client_side(STRONG, kind=Weights())
    blind = client_side(STRONG, data=replace(digits, proxy=hidden), kind=Weights())
    assert same(after(side, together=True), after(blind, together=True))
    one = begin(side, Turn(1, Mail(message()), RecordDict()))
    [stage] = one.stages
    inputs = _public_of(side, stage, one)
    assert inputs is not None
    assert torch.equal(inputs["image"], digits.proxy.inputs["image"][_pairs(side, stage, one)])
    assert _public_of(side, replace(stage, paired=False), one) is None


def test_the_network_crosses_and_the_discriminator_is_kept(client_side: Maker) -> None:
    side, state = client_side(STRONG, kind=Weights()), RecordDict()
    sent = dict(Logistic().network((1, 8, 8), 10).state_dict())
    said = from_records(train(side, 1, message(1, sent), state)).arrays
    assert {name: weight.shape for name, weight in said.items()} == {
        name: weight.shape for name, weight in sent.items()
    }
    kept = dict(state.array_records["fedkd.model"].to_torch_state_dict())
    still = client_side(replace(STRONG, fit=Fit(epochs=0)), kind=Weights())
    other = {name: weight + 1 for name, weight in sent.items()}
    assert same([dict(from_records(train(still, 1, message(2, other), state)).arrays)], [other])
    after_it = dict(state.array_records["fedkd.model"].to_torch_state_dict())
    judges = [name for name in after_it if name.startswith("discriminator.")]
    assert [tuple(after_it[name].shape) for name in judges] == [(8, 10), (8,), (1, 8), (1,)]
    assert all(torch.equal(after_it[name], kept[name]) for name in judges)
    first = side.initial_weights(1)
    assert not torch.equal(kept[judges[0]], first[judges[0]])
