"""FedKD's client: two networks teach each other as far as both are right; the losses worked out by hand in float64."""

import math

import pytest
import torch
from torch import Tensor

from fedkd.clients import Step
from fedkd.clients.adaptive_mutual import AdaptiveMutual
from fedkd.models._beside import CARRIED, Aligned, part_of
from fedkd.models.base import Outputs, Signature, observe
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.tasks import Classification

OWN = torch.zeros(1, 2, dtype=torch.float64)
"""Probabilities 1/2 and 1/2."""
SHARED = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
"""Probabilities 3/4 and 1/4."""
BACK = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
"""KL(shared || own)."""
FORTH = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
"""KL(own || shared)."""
HELD = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
MAPPED = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
APART = (4.0 + 9.0) / 3
"""The mean square of their difference."""


def step(own: Tensor, shared: Tensor, held: Tensor = HELD, mapped: Tensor = MAPPED, label: int = 0) -> Step:
    outputs = Outputs(own, held, shared, carried_features=mapped)
    return Step(outputs, torch.tensor([label] * len(own)), None, {}, {}, Classification())


@pytest.mark.parametrize("hidden", [0.0, 1.0, 0.3])
@pytest.mark.parametrize(
    ("label", "labels"), [(0, math.log(2) + math.log(4 / 3)), (1, math.log(2) + math.log(4))]
)
def test_what_one_teaches_the_other_counts_less_the_more_both_are_wrong(
    hidden: float, label: int, labels: float
) -> None:
    loss = AdaptiveMutual(hidden=hidden).train_loss(step(OWN, SHARED, label=label))
    assert float(loss) == pytest.approx(labels + (BACK + FORTH + hidden * APART) / labels, abs=1e-12)


def test_the_sum_that_divides_is_of_means_over_the_batch() -> None:
    own, shared = OWN.expand(2, 2), torch.cat([SHARED, SHARED.flip(1)])
    labels = math.log(2) + (math.log(4 / 3) + math.log(4)) / 2
    loss = AdaptiveMutual(hidden=0.0).train_loss(step(own, shared, HELD.expand(2, 3), MAPPED.expand(2, 3)))
    assert float(loss) == pytest.approx(labels + (BACK + FORTH) / labels, abs=1e-12)


def test_a_network_gets_no_gradient_for_what_it_teaches_or_for_how_much_that_counts() -> None:
    own, shared = OWN.clone().requires_grad_(), SHARED.clone().requires_grad_()
    AdaptiveMutual(hidden=0.0).train_loss(step(own, shared)).backward()
    assert own.grad is not None
    assert shared.grad is not None
    labels = math.log(2) + math.log(4 / 3)
    # softmax - onehot of the label, and (softmax - teacher) / the sum of the losses on labels.
    mine = torch.tensor([[0.5 - 1.0, 0.5]], dtype=torch.float64)
    theirs = torch.tensor([[0.75 - 1.0, 0.25]], dtype=torch.float64)
    toward = torch.tensor([[0.5 - 0.75, 0.5 - 0.25]], dtype=torch.float64)
    torch.testing.assert_close(own.grad, mine + toward / labels)
    torch.testing.assert_close(shared.grad, theirs - toward / labels)


def test_both_networks_follow_the_distance_of_their_features_once() -> None:
    held, mapped = HELD.clone().requires_grad_(), MAPPED.clone().requires_grad_()
    AdaptiveMutual().train_loss(step(OWN, SHARED, held, mapped)).backward()
    expected = 2 * (HELD - MAPPED) / 3 / (math.log(2) + math.log(4 / 3))
    assert held.grad is not None
    assert mapped.grad is not None
    torch.testing.assert_close(held.grad, expected)
    torch.testing.assert_close(mapped.grad, -expected)


def test_networks_that_are_both_right_beyond_doubt_have_a_finite_loss() -> None:
    sure = torch.tensor([[80.0, -80.0]], requires_grad=True)
    loss = AdaptiveMutual().train_loss(step(sure, sure, torch.ones(1, 3), torch.ones(1, 3)))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert sure.grad is not None
    assert bool(sure.grad.isfinite().all())


def test_features_of_the_shared_network_are_mapped_to_the_width_of_the_own_one() -> None:
    torch.manual_seed(0)
    signature = Signature({"sample": (6,)}, 3)
    network = Aligned(own=MLP(hidden=(7,)), carried=MLP(hidden=(4,))).build(signature)
    inputs = {"sample": torch.randn(5, 6)}
    said = network(inputs["sample"])
    assert (said.features.shape, said.carried_features.shape) == ((5, 7), (5, 7))
    weights = network.state_dict()
    inner = observe(network.carried, inputs).features
    torch.testing.assert_close(said.carried_features, inner @ weights["map.weight"].T)
    # What crosses is the shared network alone, whatever architecture the client's own has.
    assert part_of(weights, CARRIED).keys() == MLP(hidden=(4,)).build(signature).state_dict().keys()
    other = Aligned(own=Logistic(), carried=MLP(hidden=(4,))).network((6,), 3)
    assert other(inputs["sample"]).carried_features.shape == (5, 6)
