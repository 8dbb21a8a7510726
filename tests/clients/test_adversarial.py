"""The client of adversarial adaptation: the gradients of both players, worked out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.clients import Step
from fedkd.clients.adversarial import Adversarial
from fedkd.clients.supervised import Supervised
from fedkd.models._judged import judged, layers_of
from fedkd.models.base import Outputs
from fedkd.tasks import Classification

OWN = torch.tensor([[1.0, -0.5], [0.2, 0.7]], dtype=torch.float64)
PUBLIC = torch.tensor([[-0.3, 0.9], [2.0, 0.1]], dtype=torch.float64)
TARGETS = torch.tensor([0, 1])
WEIGHT = torch.tensor([[0.8, -1.1]], dtype=torch.float64)
BIAS = torch.tensor([0.3], dtype=torch.float64)


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [tensor.clone().requires_grad_() for tensor in tensors]


def step(own: Outputs, public: Outputs, weight: Tensor, bias: Tensor) -> Step:
    judge = {
        "own.head.weight": torch.zeros(2, 2),
        "discriminator.0.weight": weight,
        "discriminator.0.bias": bias,
    }
    return Step(own, TARGETS, None, judge, {}, Classification(), public=public)


def through_softmax(said: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient by logits of one that is given by probabilities: p (g - p . g)."""
    p = said.softmax(dim=-1)
    return p * (gradient - (p * gradient).sum(dim=-1, keepdim=True))


@pytest.mark.parametrize("lam", [0.0, 0.7])
def test_each_player_follows_its_own_loss_and_no_other(lam: float) -> None:
    own, public, weight, bias = leaves(OWN, PUBLIC, WEIGHT, BIAS)
    given = step(Outputs(own, own), Outputs(public, public), weight, bias)
    loss = Adversarial(weight=lam, hidden=()).train_loss(given)
    loss.backward()
    p, q = OWN.softmax(dim=-1), PUBLIC.softmax(dim=-1)
    source, target = p @ WEIGHT[0] + BIAS, q @ WEIGHT[0] + BIAS
    cross_entropy = -p[range(2), TARGETS].log().mean()
    passing = -target.sigmoid().log().mean()
    telling = -(source.sigmoid().log() + (1 - target.sigmoid()).log()).mean() / 2
    torch.testing.assert_close(loss.detach(), cross_entropy + lam * passing + telling)
    # On its own samples the network sees labels alone.
    torch.testing.assert_close(own.grad, (p - F.one_hot(TARGETS, 2)) / 2)
    # d(-log D)/dp = -(1 - D) w, a mean over two samples.
    towards = -(1 - target.sigmoid())[:, None] * WEIGHT / 2
    torch.testing.assert_close(public.grad, lam * through_softmax(PUBLIC, towards))
    # The discriminator: -(1 - D) p on the source, D q on the target, halved; nothing of what the network wants.
    by_logit = torch.cat([source.sigmoid() - 1, target.sigmoid()]) / 4
    torch.testing.assert_close(weight.grad, by_logit[None] @ torch.cat([p, q]))
    torch.testing.assert_close(bias.grad, by_logit.sum()[None])


def test_in_the_space_of_features_answers_on_the_target_are_left_alone() -> None:
    own, public, seen = leaves(OWN, PUBLIC, PUBLIC.flip(0))
    given = step(Outputs(own, OWN), Outputs(public, seen), WEIGHT, BIAS)
    Adversarial(weight=0.7, space="features", hidden=()).train_loss(given).backward()
    target = PUBLIC.flip(0) @ WEIGHT[0] + BIAS
    assert public.grad is None
    torch.testing.assert_close(seen.grad, -0.7 * (1 - target.sigmoid())[:, None] * WEIGHT / 2)


def test_without_weight_the_network_learns_as_a_supervised_one() -> None:
    own, public, alone = leaves(OWN, PUBLIC, OWN)
    Adversarial(weight=0.0, hidden=()).train_loss(
        step(Outputs(own, own), Outputs(public, public), WEIGHT, BIAS)
    ).backward()
    Supervised().train_loss(Step(Outputs(alone, alone), TARGETS, None, {}, {}, Classification())).backward()
    assert own.grad is not None
    assert alone.grad is not None
    assert torch.equal(own.grad, alone.grad)
    assert not public.grad.any()  # type: ignore[union-attr]


def test_a_discriminator_is_layers_with_leaky_relus_between_them() -> None:
    plain = nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.2), nn.Linear(3, 1)).double()
    weights = {
        f"discriminator.{place}.{name}": tensor
        for place, layer in enumerate((plain[0], plain[2]))
        for name, tensor in layer.named_parameters()
    }
    torch.testing.assert_close(judged(layers_of(weights), OWN), plain(OWN)[:, 0])
