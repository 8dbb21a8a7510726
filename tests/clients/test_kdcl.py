"""KDCL's teachers that weigh networks: by the loss on the batch, and by their errors on held-out samples."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from flwr.app import ConfigRecord, RecordDict
from torch import Tensor
from torch.func import vmap

from fedkd.clients import Situation, Step
from fedkd.clients.kdcl import KDCL, weights_by_error, weights_of_least_loss
from fedkd.engine import ClientSide, train_together, turns_of
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.knowledge import from_records
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import Outputs
from fedkd.tasks import Classification
from fedkd.training import Fit


def drawn(networks: int, scale: float, seed: int, batch: int = 24, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Return logits of networks that agree in part and know the targets in part, each another part; and the targets."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (batch,), generator=generator)
    own = torch.randn(networks, batch, classes, generator=generator, dtype=torch.float64)
    shared = torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    knows = torch.rand(networks, 1, 1, generator=generator, dtype=torch.float64)
    return scale * (own + shared + 3.0 * knows * F.one_hot(targets, classes)), targets


def cost(weights: Tensor, logits: Tensor, targets: Tensor) -> float:
    return float(F.cross_entropy(torch.einsum("j,jnc->nc", weights, logits), targets))


def step(logits: Tensor, targets: Tensor, memory: dict[str, Tensor] | None = None) -> Step:
    said = Outputs(logits[0], logits[0], exits=logits.transpose(0, 1))
    return Step(said, targets, None, {}, memory or {}, Classification())


def test_linear_weights_by_hand() -> None:
    """The first network says a of the true class, the second -b of it, of two samples the other way round: by symmetry both count alike."""
    one = torch.tensor([[2.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    both = torch.stack([one, one.flip(0)])
    targets = torch.tensor([0, 0])
    torch.testing.assert_close(
        weights_of_least_loss(both, targets), torch.tensor([0.5, 0.5], dtype=torch.float64)
    )
    certain = torch.stack([one, torch.tensor([[3.0, 0.0], [3.0, 0.0]], dtype=torch.float64)])
    torch.testing.assert_close(
        weights_of_least_loss(certain, targets), torch.tensor([0.0, 1.0], dtype=torch.float64)
    )


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_linear_weights_of_two_are_the_best_of_a_fine_grid(scale: float) -> None:
    logits, targets = drawn(2, scale, seed=3)
    grid = torch.linspace(0, 1, 201, dtype=torch.float64)
    best = min(cost(torch.stack([share, 1 - share]), logits, targets) for share in grid)
    assert cost(weights_of_least_loss(logits, targets), logits, targets) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("networks", [2, 3, 5])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_linear_teacher_is_never_worse_on_its_batch_than_the_best_network(
    networks: int, scale: float, dtype: torch.dtype
) -> None:
    for seed in range(3):
        logits, targets = drawn(networks, scale, seed)
        logits = logits.to(dtype)
        weights = weights_of_least_loss(logits, targets)
        assert bool((weights >= 0).all())
        assert float(weights.sum()) == pytest.approx(1.0, abs=1e-6)
        best = min(cost(alone, logits, targets) for alone in torch.eye(networks, dtype=dtype))
        assert cost(weights, logits, targets) <= best * (1 + 1e-5)


def test_linear_weights_of_many_clients_at_once_are_those_of_each() -> None:
    some = [drawn(3, 1.0, seed) for seed in range(4)]
    logits, targets = (torch.stack(each) for each in zip(*some, strict=True))
    together = vmap(weights_of_least_loss)(logits, targets)
    for weights, one in zip(together, some, strict=True):
        torch.testing.assert_close(weights, weights_of_least_loss(*one))


def test_general_weights_by_hand() -> None:
    """Errors that have nothing to do with each other: weights go by the inverse of their squares."""
    probabilities = torch.tensor(
        [[[0.6, 0.4], [1.0, 0.0]], [[1.0, 0.0], [0.8, 0.2]]], dtype=torch.float64
    ).clamp_min(1e-300)
    weights = weights_by_error(probabilities.log(), torch.tensor([0, 0]))
    # C = diag(2 * 0.4^2 / 2, 2 * 0.2^2 / 2), so that the weights are as 1/0.16 to 1/0.04.
    torch.testing.assert_close(weights, torch.tensor([0.2, 0.8], dtype=torch.float64))


def test_general_weights_are_those_of_the_least_squared_error() -> None:
    logits, targets = drawn(3, 1.0, seed=5)
    errors = torch.softmax(logits, dim=-1) - F.one_hot(targets, 5)
    weights = weights_by_error(logits, targets)

    def error(some: Tensor) -> float:
        return float(torch.einsum("j,jnc->nc", some, errors).square().sum(dim=1).mean())

    assert float(weights.sum()) == pytest.approx(1.0)
    for away in torch.eye(3, dtype=torch.float64) - 1 / 3:  # directions in which the sum stays
        assert error(weights) < min(error(weights + 0.01 * away), error(weights - 0.01 * away))


def test_equal_networks_and_such_that_never_err_count_alike_in_general() -> None:
    logits, targets = drawn(1, 1.0, seed=1)
    third = torch.full((3,), 1 / 3, dtype=torch.float64)
    torch.testing.assert_close(weights_by_error(logits.expand(3, -1, -1), targets), third)
    certain = 1e4 * F.one_hot(targets, 5).double()
    torch.testing.assert_close(weights_by_error(certain.expand(3, -1, -1), targets), third)


def test_the_teacher_of_general_is_weighed_by_what_was_held_out_or_else_the_mean() -> None:
    logits, targets = drawn(2, 1.0, seed=2)
    strategy = KDCL(rule="general")
    unknown = Situation(first=True, received=None, start={})
    assert strategy.remember(unknown) == {}
    assert torch.equal(strategy.teacher_of(logits, step(logits, targets)), logits.mean(dim=0))
    outputs = step(logits, targets).outputs
    known = Situation(first=True, received=None, start={}, held_out=lambda: (outputs, targets))
    memory = dict(strategy.remember(known))
    teacher = strategy.teacher_of(logits, step(logits, targets, memory))
    first, second = weights_by_error(logits, targets)
    torch.testing.assert_close(teacher, first * logits[0] + second * logits[1])
    assert KDCL().remember(known) == {}


def test_the_linear_teacher_receives_no_gradient_and_the_gradient_is_the_derivative_of_the_value() -> None:
    logits, targets = drawn(2, 1.0, seed=4, batch=6)
    strategy = KDCL(rule="linear", temperature=1.0)
    teacher = strategy.teacher_of(logits, step(logits, targets))

    def expected(some: Tensor) -> Tensor:
        each = [F.cross_entropy(said, targets) + _divergence(teacher, said) for said in some]
        return torch.stack(each).sum()

    said = logits.clone().requires_grad_()
    [gradient] = torch.autograd.grad(strategy.train_loss(step(said, targets)), said)
    [by_hand] = torch.autograd.grad(expected(said), said)
    torch.testing.assert_close(gradient, by_hand)
    assert torch.autograd.gradcheck(expected, said)


def test_only_what_linear_does_is_no_mean_over_samples() -> None:
    situation = Situation(first=True, received=None, start={})
    means = {rule: KDCL(rule=rule).stages(situation)[0].samplewise for rule in ("naive", "linear", "general")}
    assert means == {"naive": True, "linear": False, "general": True}


@pytest.mark.parametrize("rule", ["linear", "general"])
def test_both_engines_end_with_the_same_weights(rule: str, client_side: Callable[..., ClientSide]) -> None:
    side = client_side(KDCL(rule=rule, fit=Fit(max_steps=3, batch_size=8)), kind=Weights())
    message = RecordDict({"config": ConfigRecord({"server-round": 1})})
    ends = []
    for one in (side, replace(side, engine=Vectorised())):
        outcomes = train_together(one, turns_of(range(4), [message] * 4, [RecordDict() for _ in range(4)]))
        assert all(isinstance(outcome, RecordDict) for outcome in outcomes)
        ends.append([from_records(outcome).arrays for outcome in outcomes])  # type: ignore[arg-type]
    for alone, together in zip(*ends, strict=True):
        for name, weight in alone.items():
            torch.testing.assert_close(together[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rule", ["linear", "general"])
def test_losses_and_gradients_are_finite_where_networks_are_certain(rule: str) -> None:
    exits = torch.tensor([[[1e4, -1e4]], [[-1e4, 1e4]]]).requires_grad_()
    targets = torch.tensor([0])
    memory = {"weights": weights_by_error(exits.detach(), targets)}
    loss = KDCL(rule=rule).train_loss(step(exits, targets, memory))
    loss.backward()
    assert bool(loss.isfinite())
    assert exits.grad is not None
    assert bool(exits.grad.isfinite().all())


def _divergence(teacher: Tensor, said: Tensor) -> Tensor:
    return F.kl_div(said.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="batchmean")
