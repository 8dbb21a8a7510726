"""Clients that a global network teaches on their own samples: each loss on a case worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from fedkd.clients import ClientStrategy, Situation, Step
from fedkd.clients.fedcad import FedCAD
from fedkd.clients.fedgkd import FedGKD
from fedkd.clients.fedntd import FedNTD
from fedkd.clients.fedssd import FedSSD
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


def credible(strategy: ClientStrategy, *values: float) -> dict[str, Tensor]:
    package = Package("credibility", {"values": torch.tensor(values)[:, None]})
    return dict(strategy.remember(Situation(False, package, {})))


@pytest.mark.parametrize(("target", "share"), [(0, 0.5), (1, 0.0), (2, 1.0)])
def test_fedcad_weighs_distillation_by_how_far_the_teacher_is_believed_about_the_class(
    target: int, share: float
) -> None:
    strategy = FedCAD(weight=2.0)
    divergence = sum(p * math.log(3 * p) for p in (4 / 7, 2 / 7, 1 / 7))
    memory = credible(strategy, 0.5, 0.0, 1.0)
    loss = strategy.train_loss(step(THIRDS, TEACHER, torch.tensor([target]), memory))
    assert float(loss) == pytest.approx(math.log(3) + 2.0 * share * divergence, abs=1e-6)


def test_fedssd_holds_each_logit_by_the_credit_of_its_class_and_of_the_sample() -> None:
    # The teacher gives the true class 7/16: the sample's credit is 1 - sqrt(9/16) = 1/4. Classes have 1, 1/2 and 1/5 of credit.
    teacher = torch.tensor([[7 / 16, 5 / 16, 4 / 16]]).log()
    strategy = FedSSD(strength=2.0, threshold=0.1)
    held = [2.0 * (0.25 - 0.1), 2.0 * (0.125 - 0.1), 0.0]
    expected = sum((weight * float(logit)) ** 2 for weight, logit in zip(held, teacher[0], strict=True))
    memory = credible(strategy, 1.0, 0.5, 0.2)
    loss = strategy.train_loss(step(THIRDS, teacher, torch.tensor([0]), memory))
    assert float(loss) == pytest.approx(math.log(3) + expected, abs=1e-6)


@pytest.mark.parametrize("target", [0, 1])
def test_fedssd_is_finite_for_a_teacher_that_is_certain_and_ignores_it_where_it_is_wrong(target: int) -> None:
    strategy, teacher = FedSSD(), torch.tensor([[1e4, -1e4, 0.0]])
    logits = torch.zeros(1, 3).requires_grad_()
    loss = strategy.train_loss(
        step(logits, teacher, torch.tensor([target]), credible(strategy, 1.0, 1.0, 1.0))
    )
    loss.backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert (float(loss.detach()) == pytest.approx(math.log(3))) == (target == 1)


@pytest.mark.parametrize("strategy", [FedCAD(), FedSSD()])
def test_without_word_of_credibility_nothing_is_held(strategy: ClientStrategy) -> None:
    assert strategy.remember(Situation(True, None, {})) == {}
    loss = strategy.train_loss(step(THIRDS, TEACHER, torch.tensor([0])))
    assert float(loss) == pytest.approx(math.log(3), abs=1e-6)


@pytest.mark.parametrize("strategy", [FedNTD(), FedGKD()])
def test_a_client_that_says_what_its_teacher_says_learns_from_its_labels_only(
    strategy: ClientStrategy,
) -> None:
    logits = TEACHER.clone().requires_grad_()
    strategy.train_loss(step(logits, TEACHER, torch.tensor([2]))).backward()
    plain = torch.tensor([[4 / 7, 2 / 7, 1 / 7 - 1]])
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, plain)
