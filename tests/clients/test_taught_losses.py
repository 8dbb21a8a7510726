"""Clients that a global network teaches on their own samples: each loss on a case worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from fedkd.clients import ClientStrategy, Situation, Step
from fedkd.clients.fedgkd import FedGKD
from fedkd.clients.fedntd import FedNTD
from fedkd.knowledge import Package
from fedkd.models.base import Outputs
from fedkd.tasks import Classification, Regression

THIRDS = torch.zeros(1, 3)
"""Logits of probabilities 1/3."""
TEACHER = torch.tensor([[4.0, 2.0, 1.0]]).log()
"""Logits of probabilities 4/7, 2/7, 1/7."""


def step(logits: Tensor, teacher: Tensor, targets: Tensor, memory: dict[str, Tensor] | None = None) -> Step:
    return Step(Outputs(logits, logits), targets, teacher, {}, memory or {}, Classification())


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_fedntd_adds_the_divergence_over_the_classes_that_are_not_true(beta: float) -> None:
    # Class 0 is true: of the others the teacher says 2/3 and 1/3, the client 1/2 and 1/2.
    expected = 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)
    loss = FedNTD(beta=beta).train_loss(step(THIRDS, TEACHER, torch.tensor([0])))
    assert float(loss) == pytest.approx(math.log(3) + beta * expected, abs=1e-6)


def test_fedgkd_adds_half_of_gamma_times_the_divergence_from_the_teacher() -> None:
    divergence = sum(p * math.log(3 * p) for p in (4 / 7, 2 / 7, 1 / 7))
    loss = FedGKD(gamma=0.2).train_loss(step(THIRDS, TEACHER, torch.tensor([1])))
    assert float(loss) == pytest.approx(math.log(3) + 0.1 * divergence, abs=1e-6)


def test_fedgkd_works_on_numbers() -> None:
    said = Outputs(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    numbers = Step(said, torch.tensor([[3.0]]), torch.tensor([[0.0]]), {}, {}, Regression())
    assert float(FedGKD(gamma=0.2).train_loss(numbers)) == pytest.approx(4.0 + 0.1 * 1.0)


def test_fedgkd_is_taught_by_the_mean_of_past_networks_once_there_is_one() -> None:
    start, mean = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    strategy = FedGKD()
    assert strategy.teacher(Situation(True, None, start))["w"] is start["w"]
    assert strategy.teacher(Situation(False, Package("weights", mean), start))["w"] is mean["w"]


@pytest.mark.parametrize("strategy", [FedNTD(), FedGKD()])
def test_a_client_that_says_what_its_teacher_says_learns_from_its_labels_only(
    strategy: ClientStrategy,
) -> None:
    logits = TEACHER.clone().requires_grad_()
    strategy.train_loss(step(logits, TEACHER, torch.tensor([2]))).backward()
    plain = torch.tensor([[4 / 7, 2 / 7, 1 / 7 - 1]])
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, plain)
