"""Networks that answer at several places: each loss on a case worked out by hand, and who learns from whom."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.clients import ClientStrategy, Step
from fedkd.clients.byot import BYOT
from fedkd.clients.dml import DML
from fedkd.clients.kdcl import KDCL
from fedkd.clients.one import ONE
from fedkd.models.base import Outputs
from fedkd.tasks import Classification, Regression

HALVES = torch.tensor([[0.5, 0.5]]).log()
QUARTER = torch.tensor([[0.25, 0.75]]).log()
FORTH = 0.5 * math.log(2.0) + 0.5 * math.log(2.0 / 3.0)  # KL(halves || quarter)
BACK = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)  # KL(quarter || halves)


def step(*exits: Tensor, features: Tensor | None = None, targets: tuple[int, ...] = (0,)) -> Step:
    said = Outputs(exits[0], exits[0], exits=torch.stack(exits, dim=1), exit_features=features)
    return Step(said, torch.tensor(targets), None, {}, {}, Classification())


def test_dml_adds_each_networks_cross_entropy_and_its_divergence_from_the_other() -> None:
    loss = DML(weight=2.0).train_loss(step(HALVES, QUARTER))
    assert float(loss) == pytest.approx(math.log(2) + math.log(4) + 2.0 * (FORTH + BACK), abs=1e-6)


def test_dml_of_three_networks_takes_the_mean_over_the_other_two() -> None:
    loss = DML().train_loss(step(HALVES, QUARTER, HALVES))
    expected = 2 * math.log(2) + math.log(4) + 0.5 * (2 * BACK + 2 * FORTH)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_dml_trains_networks_that_predict_numbers_too() -> None:
    one, other = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    said = Outputs(one, one, exits=torch.stack([one, other], dim=1))
    numbers = Step(said, torch.tensor([[0.0]]), None, {}, {}, Regression())
    assert float(DML().train_loss(numbers)) == pytest.approx(1.0 + 9.0 + 4.0 + 4.0)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("naive", [[2.0, 1.0, 0.0], [0.0, 4.0, 0.0]]),
        ("min_logit", [[0.0, -1.0, -2.0], [-4.0, 0.0, -4.0]]),
        ("mean", [[1.0, 1.0, 0.0], [0.0, 3.5, 0.0]]),
    ],
)
def test_kdcls_teacher_follows_its_rule(rule: Any, expected: list[list[float]]) -> None:
    first = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    second = torch.tensor([[0.0, 1.0, 0.0], [0.0, 4.0, 0.0]])
    teacher = KDCL(rule=rule).teacher_of(torch.stack([first, second]), step(first, second, targets=(0, 1)))
    assert torch.allclose(teacher, torch.tensor(expected))


def test_kdcls_least_margin_is_at_most_every_networks() -> None:
    logits = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(20) % 5
    teacher = KDCL().teacher_of(logits, step(*logits, targets=tuple(targets.tolist())))
    margins = logits - logits.gather(2, targets[None, :, None].expand(3, -1, 1))
    assert bool((teacher <= margins + 1e-6).all())
    assert torch.allclose(teacher.gather(1, targets[:, None]), torch.zeros(20, 1))


def test_one_teaches_branches_by_the_ensemble_which_learns_from_labels_only() -> None:
    first, ensemble = HALVES.clone().requires_grad_(), QUARTER.clone().requires_grad_()
    loss = ONE(temperature=1.0).train_loss(step(first, ensemble))
    assert float(loss.detach()) == pytest.approx(math.log(2) + math.log(4) + BACK, abs=1e-6)
    loss.backward()
    assert ensemble.grad is not None
    torch.testing.assert_close(ensemble.grad, torch.tensor([[0.25 - 1.0, 0.75]]))


def test_byot_teaches_shallow_exits_what_the_deepest_says_and_sees() -> None:
    features = torch.tensor([[[1.0, 2.0], [3.0, 2.0]]]).requires_grad_()
    loss = BYOT(alpha=0.4, hint=0.5).train_loss(step(HALVES, QUARTER, features=features))
    expected = math.log(4) + 0.6 * math.log(2) + 0.4 * BACK + 0.5 * 2.0
    assert float(loss.detach()) == pytest.approx(expected, abs=1e-6)
    loss.backward()
    assert features.grad is not None
    torch.testing.assert_close(features.grad, torch.tensor([[[-1.0, 0.0], [0.0, 0.0]]]))


ALONE: list[ClientStrategy] = [DML(weight=0.0), KDCL(weight=0.0), ONE(weight=0.0), BYOT(alpha=0.0, hint=0.0)]


@pytest.mark.parametrize("strategy", ALONE, ids=lambda strategy: type(strategy).__name__)
def test_without_weight_every_exit_learns_from_its_labels_only(strategy: ClientStrategy) -> None:
    exits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    targets = (0, 1, 2, 3)
    loss = strategy.train_loss(step(*exits, features=torch.randn(4, 3, 2), targets=targets))
    assert torch.allclose(loss, sum(F.cross_entropy(said, torch.tensor(targets)) for said in exits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "strategy", [DML(), KDCL(), ONE(), BYOT()], ids=lambda strategy: type(strategy).__name__
)
def test_losses_and_gradients_are_finite_where_networks_are_certain(strategy: ClientStrategy) -> None:
    exits = torch.tensor([[[1e4, -1e4]], [[-1e4, 1e4]]]).requires_grad_()
    loss = strategy.train_loss(step(*exits.unbind(), features=torch.zeros(1, 2, 3)))
    loss.backward()
    assert bool(loss.isfinite())
    assert exits.grad is not None
    assert bool(exits.grad.isfinite().all())
