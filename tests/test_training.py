import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.parts import build
from fedkd.training import Fit, Optimizer, fit


class Watched:
    """A linear fit of seven points that remembers which positions it was shown."""

    def __init__(self, size: int = 7) -> None:
        torch_generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(size, 3, generator=torch_generator)
        self.y = torch.randn(size, 1, generator=torch_generator)
        self.network = nn.Linear(3, 1)
        with torch.no_grad():
            for weight in self.network.parameters():
                weight.fill_(0.1)
        self.seen: list[list[int]] = []
        self.values: list[float] = []

    def loss(self, rows: Tensor) -> Tensor:
        self.seen.append(rows.tolist())
        value = (self.network(self.x[rows]) - self.y[rows]).square().mean()
        self.values.append(float(value.detach()))
        return value

    def fit(self, plan: Fit, seed: int = 0, after_epoch: Callable[[int], bool] | None = None) -> float:
        generator = torch.Generator().manual_seed(seed)
        return fit(
            self.network,
            self.loss,
            size=len(self.x),
            plan=plan,
            generator=generator,
            after_epoch=after_epoch,
        )


def weights(network: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_no_samples_change_nothing_and_give_nan() -> None:
    watched = Watched(0)
    before = weights(watched.network)
    assert math.isnan(watched.fit(Fit(epochs=3)))
    assert torch.equal(weights(watched.network), before)
    assert watched.seen == []


def test_no_epochs_change_nothing_and_give_nan() -> None:
    watched = Watched()
    assert math.isnan(watched.fit(Fit(epochs=0)))
    assert watched.seen == []


def test_one_sample_makes_one_step_an_epoch() -> None:
    watched = Watched(1)
    watched.fit(Fit(epochs=3, batch_size=4))
    assert watched.seen == [[0], [0], [0]]


def test_every_epoch_shows_every_sample_once_the_last_batch_may_be_smaller() -> None:
    watched = Watched(7)
    watched.fit(Fit(epochs=2, batch_size=3))
    assert [len(rows) for rows in watched.seen] == [3, 3, 1, 3, 3, 1]
    first, second = (
        [row for rows in epoch for row in rows] for epoch in (watched.seen[:3], watched.seen[3:])
    )
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_the_loss_is_the_mean_over_the_samples_of_the_last_epoch() -> None:
    watched = Watched(7)
    said = watched.fit(Fit(epochs=2, batch_size=3))
    third, fourth, fifth = watched.values[3:]
    assert said == pytest.approx((3 * third + 3 * fourth + fifth) / 7)


def test_the_same_generator_gives_the_same_weights_and_another_gives_others() -> None:
    first, same, other = Watched(), Watched(), Watched()
    plan = Fit(epochs=3, batch_size=2)
    first.fit(plan, seed=1)
    same.fit(plan, seed=1)
    other.fit(plan, seed=2)
    assert torch.equal(weights(first.network), weights(same.network))
    assert not torch.equal(weights(first.network), weights(other.network))


@pytest.mark.parametrize(("max_steps", "steps"), [(1, 1), (4, 4), (6, 6), (100, 9)])
def test_training_ends_after_max_steps_even_within_an_epoch(max_steps: int, steps: int) -> None:
    watched = Watched(7)
    plan = Fit(epochs=3, batch_size=3, max_steps=max_steps)
    assert math.isfinite(watched.fit(plan))
    assert len(watched.seen) == steps == plan.steps(7)


def test_one_sgd_step_is_the_learning_rate_times_the_gradient() -> None:
    watched = Watched()
    still = copy.deepcopy(watched.network)
    (still(watched.x) - watched.y).square().mean().backward()
    watched.fit(Fit(batch_size=7, optimizer=Optimizer(lr=0.1)))
    expected = torch.cat(
        [(w.detach() - 0.1 * w.grad).flatten() for w in still.parameters() if w.grad is not None]
    )
    assert torch.allclose(weights(watched.network), expected)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_follows_its_formulas(name: Any) -> None:
    """Kingma & Ba (2015), Algorithm 1; Loshchilov & Hutter (2019), Algorithm 2, with weight decay that is coupled or not."""
    watched = Watched(13)
    watched.x, watched.y = watched.x.double(), watched.y.double()
    still = copy.deepcopy(watched.network.double())
    lr, decay = 0.1, 0.2
    watched.fit(Fit(epochs=3, batch_size=13, optimizer=Optimizer(name=name, lr=lr, weight_decay=decay)))
    first = [torch.zeros_like(weight) for weight in still.parameters()]
    second = [torch.zeros_like(weight) for weight in still.parameters()]
    for step in (1, 2, 3):
        still.zero_grad()
        (still(watched.x) - watched.y).square().mean().backward()
        for weight, m, v in zip(still.parameters(), first, second, strict=True):
            assert weight.grad is not None
            gradient = weight.grad + (decay * weight.detach() if name == "adam" else 0.0)
            m.mul_(0.9).add_(0.1 * gradient)
            v.mul_(0.999).add_(0.001 * gradient**2)
            with torch.no_grad():
                if name == "adamw":
                    weight.mul_(1 - lr * decay)
                weight.sub_(lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    assert torch.allclose(weights(watched.network), weights(still), rtol=0, atol=1e-12)


def test_clipping_bounds_the_length_of_a_step_and_leaves_its_direction() -> None:
    free, clipped = Watched(), Watched()
    start = weights(free.network)
    free.fit(Fit(batch_size=7, optimizer=Optimizer(lr=1.0)))
    clipped.fit(Fit(batch_size=7, optimizer=Optimizer(lr=1.0, clip_norm=0.01)))
    long, short = weights(free.network) - start, weights(clipped.network) - start
    assert float(short.norm()) == pytest.approx(0.01, rel=1e-3)
    assert torch.allclose(short / short.norm(), long / long.norm(), atol=1e-4)


def test_the_cosine_ends_at_a_learning_rate_near_zero() -> None:
    class Constant(nn.Module):
        """Its gradient is 1 at every step, so each step shows the learning rate."""

        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

    network, path = Constant(), [0.0]

    def loss(rows: Tensor) -> Tensor:
        del rows
        path.append(float(network.w.detach()))
        return network.w

    plan = Fit(epochs=10, batch_size=4, optimizer=Optimizer(lr=1.0), schedule="cosine")
    fit(network, loss, size=4, plan=plan, generator=torch.Generator())
    path.append(float(network.w.detach()))
    steps = [before - after for before, after in itertools.pairwise(path[1:])]
    expected = [(1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert steps == pytest.approx(expected, abs=1e-5)


def test_a_watcher_hears_of_every_epoch_and_can_end_the_training() -> None:
    told: list[int] = []

    def stop_at_three(epoch: int) -> bool:
        told.append(epoch)
        return epoch == 3

    watched = Watched()
    watched.fit(Fit(epochs=10, batch_size=7), after_epoch=stop_at_three)
    assert told == [1, 2, 3]
    assert len(watched.seen) == 3


@pytest.mark.parametrize(
    "optimizer",
    [
        Optimizer(),
        Optimizer(momentum=0.9, nesterov=True, weight_decay=1e-3),
        Optimizer(name="adam", lr=0.05),
        Optimizer(name="adamw", lr=0.05, weight_decay=0.01),
    ],
)
def test_every_optimiser_lowers_the_loss(optimizer: Optimizer) -> None:
    watched = Watched()
    last = watched.fit(Fit(epochs=20, batch_size=4, optimizer=optimizer))
    assert last < watched.values[0]


def test_frozen_weights_stay_as_they_are() -> None:
    watched = Watched()
    watched.network.bias.requires_grad_(requires_grad=False)
    watched.fit(Fit(epochs=2))
    assert float(watched.network.bias) == pytest.approx(0.1)


def test_training_ends_in_training_mode_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    watched = Watched()
    state = torch.get_rng_state()
    watched.network.eval()
    watched.fit(Fit(epochs=2))
    assert watched.network.training
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(before)


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(IllegalCombination, match=r"optimizer\.nesterov=true needs optimizer\.momentum"):
        build(Fit, {"optimizer": {"nesterov": True}}, key="client.fit")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"epochs": -1}, "fit.epochs"),
        ({"batch_size": 0}, "fit.batch_size"),
        ({"max_steps": 0}, "fit.max_steps"),
        ({"schedule": "linear"}, "fit.schedule"),
        ({"optimizer": {"lr": 0}}, "fit.optimizer.lr"),
        ({"optimizer": {"momentum": 1.0}}, "fit.optimizer.momentum"),
        ({"optimizer": {"name": "sdg"}}, "fit.optimizer.name"),
    ],
)
def test_impossible_plans_are_refused_by_the_option_at_fault(options: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{key}: got"):
        build(Fit, options, key="fit")
