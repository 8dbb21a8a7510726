"""FedGKT's client: its loss by hand, and that what it was told meets the sample that it was said of, whatever the order."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients import Step
from fedkd.clients.fedgkt import FedGKT
from fedkd.clients.isolated import Isolated
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, train_together, turns_of
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import Outputs
from fedkd.tasks import Classification
from fedkd.training import Fit

Maker = Callable[..., ClientSide]
FIT = Fit(epochs=2, batch_size=8)
TOLD = torch.tensor([[4.0, 2.0, 1.0]]).log()
"""What the server says: probabilities 4/7, 2/7, 1/7 at temperature 1."""


def step(teacher: Tensor | None) -> Step:
    logits = torch.zeros(1, 3)
    return Step(Outputs(logits, logits), torch.tensor([1]), teacher, {}, {}, Classification())


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_loss_is_that_of_labels_and_the_divergence_from_what_the_server_said(temperature: float) -> None:
    softened = [root / (4**0.5 + 2**0.5 + 1) for root in (4**0.5, 2**0.5, 1.0)]
    said = {1.0: [4 / 7, 2 / 7, 1 / 7], 2.0: softened}[temperature]
    divergence = sum(p * math.log(3 * p) for p in said)
    loss = FedGKT(weight=0.5, temperature=temperature).train_loss(step(TOLD))
    assert float(loss) == pytest.approx(math.log(3) + 0.5 * temperature**2 * divergence, abs=1e-6)


def test_labels_teach_alone_before_the_server_has_said_anything_and_with_weight_zero() -> None:
    assert float(FedGKT().train_loss(step(None))) == pytest.approx(math.log(3), abs=1e-6)
    assert float(FedGKT(weight=0.0).train_loss(step(TOLD))) == pytest.approx(math.log(3), abs=1e-6)


def trained(side: ClientSide, package: Package | None) -> list[dict[str, Tensor]]:
    """Return the weights of all clients after one round in which they were told the same."""
    said = {} if package is None else to_records(package, Float32())
    message = RecordDict({"config": ConfigRecord({"server-round": 2}), **said})
    turns = turns_of(range(4), [message] * 4, [RecordDict() for _ in range(4)])
    replies = train_together(side, turns)
    for reply in replies:
        assert isinstance(reply, RecordDict), reply
    return [dict(from_records(reply).arrays) for reply in replies if isinstance(reply, RecordDict)]


@pytest.mark.parametrize("together", [False, True])
def test_what_is_said_is_aligned_by_the_id_of_the_sample_and_not_by_its_place(
    together: bool, client_side: Maker, digits: FederatedData
) -> None:
    side = client_side(FedGKT(fit=FIT), kind=Weights())
    side = replace(side, engine=Vectorised()) if together else side
    draw = torch.Generator().manual_seed(0)
    ids = digits.train.ids
    values = torch.randn(len(ids), 10, generator=draw)
    shuffled = torch.randperm(len(ids), generator=draw)
    one = trained(side, Package("logits", {"values": values}, ids=ids))
    same = trained(side, Package("logits", {"values": values[shuffled]}, ids=ids[shuffled]))
    mixed_up = trained(side, Package("logits", {"values": values[shuffled]}, ids=ids))
    for client in range(4):
        assert all(torch.equal(one[client][name], same[client][name]) for name in one[client])
        assert not torch.equal(one[client]["head.weight"], mixed_up[client]["head.weight"])


def test_both_engines_end_with_the_same_weights_when_they_are_told(
    client_side: Maker, digits: FederatedData
) -> None:
    side = client_side(FedGKT(fit=FIT), kind=Weights())
    values = torch.randn(len(digits.train), 10, generator=torch.Generator().manual_seed(0))
    package = Package("logits", {"values": values}, ids=digits.train.ids)
    for one, other in zip(
        trained(side, package), trained(replace(side, engine=Vectorised()), package), strict=True
    ):
        for name, weight in one.items():
            torch.testing.assert_close(weight, other[name], rtol=1e-3, atol=1e-5)


def test_without_word_or_with_weight_zero_a_client_trains_alone(
    client_side: Maker, digits: FederatedData
) -> None:
    alone = trained(client_side(Isolated(fit=FIT), kind=Weights()), None)
    untold = trained(client_side(FedGKT(fit=FIT), kind=Weights()), None)
    package = Package("logits", {"values": torch.ones(len(digits.train), 10)}, ids=digits.train.ids)
    deaf = trained(client_side(FedGKT(fit=FIT, weight=0.0), kind=Weights()), package)
    for own, other, third in zip(alone, untold, deaf, strict=True):
        for name, weight in own.items():
            assert torch.equal(weight, other[name])
            torch.testing.assert_close(weight, third[name])


def test_a_client_that_is_told_nothing_of_one_of_its_samples_fails_by_itself(
    client_side: Maker, digits: FederatedData
) -> None:
    missing = int(digits.client_ids(2)[0])
    ids = digits.train.ids[digits.train.ids != missing]
    package = Package("logits", {"values": torch.zeros(len(ids), 10)}, ids=ids)
    message = RecordDict({"config": ConfigRecord({"server-round": 2}), **to_records(package, Float32())})
    turns = turns_of(range(4), [message] * 4, [RecordDict() for _ in range(4)])
    outcomes = train_together(client_side(FedGKT(fit=FIT), kind=Weights()), turns)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, True, False]
    assert f"nothing about sample {missing}" in str(outcomes[2])
