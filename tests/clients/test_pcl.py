"""PCL: its loss by hand, who teaches whom, the ramp, and the limits in which there is no teacher."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.clients import Situation, Step
from fedkd.clients.pcl import PCL
from fedkd.models.base import Outputs
from fedkd.tasks import Classification

HALVES = torch.tensor([[0.5, 0.5]], dtype=torch.float64).log()
QUARTER = torch.tensor([[0.25, 0.75]], dtype=torch.float64).log()
FORTH = 0.5 * math.log(2.0) + 0.5 * math.log(2.0 / 3.0)  # KL(halves || quarter)
BACK = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)  # KL(quarter || halves)


def step(
    peers: list[Tensor],
    ensemble: Tensor,
    means: list[Tensor],
    targets: tuple[int, ...] = (0,),
    omega: float = 1.0,
) -> Step:
    said = Outputs(
        peers[0], peers[0], exits=torch.stack([*peers, ensemble], dim=1), mean_exits=torch.stack(means, dim=1)
    )
    return Step(said, torch.tensor(targets), None, {}, {"omega": torch.tensor(omega)}, Classification())


def test_peers_learn_from_labels_from_the_ensemble_and_from_the_means_of_the_others() -> None:
    batch = step([HALVES, QUARTER], QUARTER, [HALVES, QUARTER], omega=0.5)
    loss = PCL(weight=2.0, means=3.0, temperature=1.0).train_loss(batch)
    labels = math.log(2) + math.log(4) + math.log(4)
    # The first peer: the ensemble and the other's mean say a quarter. The second one: the ensemble agrees, the other's mean says halves.
    assert float(loss) == pytest.approx(labels + 2.0 * 0.5 * (BACK + 3.0 * BACK + 3.0 * FORTH), abs=1e-12)


def test_of_three_peers_each_learns_from_the_mean_over_two_others_and_never_from_its_own() -> None:
    batch = step([HALVES, HALVES, HALVES], HALVES, [QUARTER, HALVES, HALVES])
    loss = PCL(temperature=1.0).train_loss(batch)
    assert float(loss) == pytest.approx(4 * math.log(2) + 2 * 0.5 * BACK, abs=1e-12)


def test_answers_are_softened_and_weighed_by_the_square_of_the_temperature() -> None:
    batch = step([2 * HALVES, 2 * QUARTER], 2 * QUARTER, [2 * HALVES, 2 * QUARTER])
    plain = PCL(weight=0.0).train_loss(batch)
    assert float(PCL(temperature=2.0).train_loss(batch) - plain) == pytest.approx(
        4 * (2 * BACK + FORTH), abs=1e-12
    )


def test_teachers_receive_no_gradient_and_the_ensemble_learns_from_labels_only() -> None:
    generator = torch.Generator().manual_seed(0)
    said, ensemble, means = (
        torch.randn(2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(3)
    )
    loss = PCL().train_loss(step(list(said), ensemble[0], list(means), targets=(0, 1, 2)))
    gradients = torch.autograd.grad(loss, (said, ensemble, means), allow_unused=True)
    expected = torch.autograd.grad(F.cross_entropy(ensemble[0], torch.arange(3)), ensemble)[0]
    torch.testing.assert_close(gradients[1], expected)
    assert gradients[2] is None


def test_the_gradient_is_the_derivative_of_the_value() -> None:
    generator = torch.Generator().manual_seed(1)
    said, means = (torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))

    def loss(peers: Tensor) -> Tensor:
        return PCL().train_loss(step(list(peers), means[0], list(means), targets=(0, 1, 2, 3)))

    assert torch.autograd.gradcheck(loss, said.requires_grad_())


def test_one_peer_that_the_ensemble_agrees_with_is_supervised_alone() -> None:
    logits = torch.randn(
        4, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    ).requires_grad_()
    targets = (0, 1, 2, 3)
    loss = PCL().train_loss(step([logits], logits.detach(), [torch.zeros_like(logits)], targets=targets))
    [gradient] = torch.autograd.grad(loss, logits)
    [expected] = torch.autograd.grad(F.cross_entropy(logits, torch.tensor(targets)), logits)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(
    ("number", "omega"), [(1, math.exp(-5 * 0.75**2)), (2, math.exp(-5 * 0.25)), (4, 1.0), (9, 1.0)]
)
def test_the_weight_of_the_teachers_rises_to_its_full_in_the_rounds_of_the_ramp(
    number: int, omega: float
) -> None:
    situation = Situation(first=False, received=None, start={}, round=number)
    assert float(PCL(ramp=4).remember(situation)["omega"]) == pytest.approx(omega)


def test_losses_and_gradients_are_finite_where_networks_are_certain() -> None:
    peers = torch.tensor([[[1e4, -1e4]], [[-1e4, 1e4]]]).requires_grad_()
    loss = PCL().train_loss(step(list(peers), -peers[0], list(-peers.detach())))
    loss.backward()
    assert bool(loss.isfinite())
    assert peers.grad is not None
    assert bool(peers.grad.isfinite().all())
