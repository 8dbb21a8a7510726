"""FedGen's client: its last layer learns from generated features."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from fedkd.clients import Situation, Step
from fedkd.clients.fedgen import FedGen
from fedkd.clients.supervised import Supervised
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package
from fedkd.models._generator import FeatureGenerator, Sizes, generator_from
from fedkd.models.base import Outputs
from fedkd.tasks import Classification

COUNTS = torch.tensor([3, 0, 1])


def generator() -> FeatureGenerator:
    with Streams(0).initialising("generator"):
        return FeatureGenerator(Sizes(classes=3, noise=4, hidden=5, width=2))


def situation(client: int = 0) -> Situation:
    package = Package("generator", dict(generator().state_dict()), counts=COUNTS)
    return Situation(False, package, {}, Streams(0).torch("remember", round=2, client=client))


def test_the_loss_has_a_term_for_the_last_layer_on_generated_features() -> None:
    # The head gives features (1, 0) and (0, 1) the logits (log 3, 0) and (0, 0) of classes 0 and 1.
    head = {"head.weight": torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]]), "head.bias": torch.zeros(2)}
    memory = {"features": torch.eye(2), "labels": torch.tensor([0, 1]), "faded": torch.tensor(1.0)}
    said = Outputs(torch.zeros(1, 2), torch.zeros(1, 2))
    step = Step(said, torch.tensor([1]), None, head, memory, Classification())
    expected = math.log(2) + 0.5 * (math.log(4 / 3) + math.log(2)) / 2
    assert float(FedGen(weight=0.5).train_loss(step)) == pytest.approx(expected, abs=1e-6)
    without = Step(said, torch.tensor([1]), None, head, {}, Classification())
    assert torch.equal(FedGen().train_loss(without), Supervised().train_loss(without))


def test_the_authors_form_fades_and_has_a_divergence_from_what_the_head_says_of_the_own_class() -> None:
    # Of class 1 the head says (3/4, 1/4) of one feature and (1/4, 3/4) of the other: their mean is even. The sample says (2/3, 1/3).
    head = {
        "head.weight": torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]]),
        "head.bias": torch.zeros(2),
    }
    logits = torch.tensor([[math.log(2.0), 0.0]], requires_grad=True)
    head["head.weight"].requires_grad_()
    memory = {
        "features": torch.zeros(1, 2),
        "labels": torch.tensor([0]),
        "faded": torch.tensor(0.98**2),
        "of_class": torch.stack([torch.ones(2, 2), torch.eye(2)]),
    }
    step = Step(Outputs(logits, torch.zeros(1, 2)), torch.tensor([1]), None, head, memory, Classification())
    divergence = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    loss = FedGen(weight=0.0, kl_weight=10.0).train_loss(step)
    assert float(loss.detach()) == pytest.approx(math.log(3) + 0.98**2 * 10 * divergence, abs=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert not bool(head["head.weight"].grad.any())
    # The gradient of the mean of the two divergences is the same: p - t, by the mean of t.
    expected = torch.tensor([[2 / 3, 1 / 3 - 1]]) + 0.98**2 * 10 * torch.tensor([[2 / 3 - 0.5, 1 / 3 - 0.5]])
    torch.testing.assert_close(logits.grad, expected)


def test_features_of_each_class_and_the_round_are_remembered_for_the_authors_form() -> None:
    usual, memory = (
        FedGen(samples=8, **options).remember(replace(situation(), round=3))
        for options in ({}, {"fade": 0.5, "kl_weight": 1.0})
    )
    assert float(usual["faded"]) == 1.0
    assert float(memory["faded"]) == 0.25
    assert torch.equal(usual["features"], memory["features"])
    assert usual.keys() == {"features", "labels", "faded"}
    draw = situation().draw
    torch.multinomial(COUNTS.double(), 8, replacement=True, generator=draw), torch.randn(8, 4, generator=draw)
    noise = torch.randn(9, 4, generator=draw).unflatten(0, (3, 3))
    for label in range(3):
        made = generator()(noise[label], torch.full((3,), label)).detach()
        torch.testing.assert_close(memory["of_class"][label], made)


def test_features_are_the_generators_and_their_classes_follow_the_counts() -> None:
    memory = FedGen(samples=4000).remember(situation())
    counts = torch.bincount(memory["labels"], minlength=3)
    assert counts[1] == 0
    assert float(counts[0]) / 4000 == pytest.approx(0.75, abs=0.03)
    draw = situation().draw
    labels = torch.multinomial(COUNTS.double(), 4000, replacement=True, generator=draw)
    made = generator()(torch.randn(4000, 4, generator=draw), labels)
    torch.testing.assert_close(memory["features"], made.detach())
    assert not memory["features"].requires_grad


def test_every_client_and_round_has_features_of_its_own_and_the_same_again() -> None:
    one, again, other = (FedGen().remember(situation(client))["features"] for client in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_nothing_is_remembered_before_a_generator_comes() -> None:
    assert FedGen().remember(Situation(True, None, {})) == {}


def test_a_generator_is_read_off_its_weights_and_others_are_refused() -> None:
    built = generator_from(generator().state_dict(), 3)
    assert built.sizes == Sizes(classes=3, noise=4, hidden=5, width=2)
    noise, labels = torch.ones(1, 4), torch.tensor([2])
    assert torch.equal(built(noise, labels), generator()(noise, labels))
    one_hot = F.one_hot(labels, 3).float()
    by_hand = generator().out(F.relu(generator().hidden(torch.cat([noise, one_hot], dim=1))))
    torch.testing.assert_close(built(noise, labels), by_hand)
    with pytest.raises(KeyError):
        generator_from({"head.weight": torch.zeros(2, 2)}, 3)
