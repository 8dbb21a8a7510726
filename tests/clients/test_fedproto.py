"""FedProto's client: its distance from the global prototypes, worked out by hand."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from fedkd.clients import Situation, Step
from fedkd.clients.fedproto import FedProto
from fedkd.clients.isolated import Isolated
from fedkd.knowledge import Package
from fedkd.models.base import Outputs
from fedkd.tasks import Classification

FEATURES = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
TARGETS = torch.tensor([0, 0, 1, 2])
PROTOTYPES = torch.tensor([[0.0, 0.0], [0.0, 0.0], [7.0, 7.0]])
SPOKEN = torch.tensor([4, 1, 0])
"""Nobody has spoken about class 2."""


def step(features: Tensor = FEATURES, memory: dict[str, Tensor] | None = None) -> Step:
    logits = torch.zeros(len(features), 3)
    return Step(Outputs(logits, features), TARGETS[: len(features)], None, {}, memory or {}, Classification())


def memory(strategy: FedProto) -> dict[str, Tensor]:
    package = Package("prototypes", {"values": PROTOTYPES}, counts=SPOKEN)
    return dict(strategy.remember(Situation(False, package, {})))


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        # Class means (2, 0) and (0, 2): each 4 / 2 from its prototype, and both are added.
        ("classes", 2.0 + 2.0),
        # Samples: (1 + 9 + 4) / 2 over four samples, of which the last one's class is unknown.
        ("samples", (0.5 + 4.5 + 2.0 + 0.0) / 4),
    ],
)
def test_the_distance_from_the_prototypes_is_that_of_the_paper_or_of_the_authors_code(
    distance: Literal["classes", "samples"], expected: float
) -> None:
    strategy = FedProto(weight=0.5, distance=distance)
    [stage] = strategy.stages(Situation(False, None, {}))
    loss = stage.loss(step(memory=memory(strategy)))
    assert float(loss) == pytest.approx(math.log(3) + 0.5 * expected, abs=1e-6)
    assert stage.samplewise == (distance == "samples")


def test_the_distance_of_classes_pulls_their_mean_and_leaves_alone_what_has_no_prototype() -> None:
    features = FEATURES.clone().requires_grad_()
    strategy = FedProto()
    strategy.train_loss(step(features, memory(strategy))).backward()
    # d/df of |mean|^2 / 2 is mean / n of the class, for both samples of class 0 alike.
    expected = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert features.grad is not None
    torch.testing.assert_close(features.grad, expected)


@pytest.mark.parametrize("kind", [None, "class_means"])
def test_without_prototypes_it_is_training_alone(kind: str | None) -> None:
    package = None if kind is None else Package(kind, {"values": torch.eye(3)}, counts=SPOKEN)
    assert FedProto().remember(Situation(True, package, {})) == {}
    assert torch.equal(FedProto().train_loss(step()), Isolated().train_loss(step()))
    assert torch.equal(FedProto().sample_loss(step()), Isolated().train_loss(step()))
