"""FML's client: two networks teach each other; the losses worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from fedkd.clients import Step
from fedkd.clients.fml import FML
from fedkd.models.base import Outputs
from fedkd.tasks import Classification, Regression

OWN = torch.zeros(1, 2)
"""Probabilities 1/2 and 1/2."""
SHARED = torch.tensor([[math.log(3.0), 0.0]])
"""Probabilities 3/4 and 1/4."""
BACK = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
"""KL(shared || own)."""
FORTH = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
"""KL(own || shared)."""


def step(own: Tensor, shared: Tensor) -> Step:
    return Step(Outputs(own, own, shared), torch.tensor([0]), None, {}, {}, Classification())


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (1.0, 0.2), (0.0, 1.0)])
def test_each_network_learns_from_labels_and_from_the_other(alpha: float, beta: float) -> None:
    own = alpha * math.log(2) + (1 - alpha) * BACK
    shared = beta * math.log(4 / 3) + (1 - beta) * FORTH
    loss = FML(alpha=alpha, beta=beta).train_loss(step(OWN, SHARED))
    assert float(loss) == pytest.approx(own + shared, abs=1e-6)


def test_a_network_gets_no_gradient_for_what_it_teaches() -> None:
    own, shared = OWN.clone().requires_grad_(), SHARED.clone().requires_grad_()
    FML(alpha=0.0, beta=0.0).train_loss(step(own, shared)).backward()
    assert own.grad is not None
    assert shared.grad is not None
    torch.testing.assert_close(own.grad, torch.tensor([[0.5 - 0.75, 0.5 - 0.25]]))
    torch.testing.assert_close(shared.grad, torch.tensor([[0.75 - 0.5, 0.25 - 0.5]]))


def test_it_works_on_numbers() -> None:
    own, shared = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    numbers = Step(Outputs(own, own, shared), torch.tensor([[0.0]]), None, {}, {}, Regression())
    assert float(FML().train_loss(numbers)) == pytest.approx(0.5 * (1.0 + 4.0) + 0.5 * (9.0 + 4.0))
