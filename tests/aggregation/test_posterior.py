"""Distributions over weights: their moments against those of the clients, and what sampling does not depend on."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fedkd.aggregation.posterior import Dirichlet, Gaussian, Posterior

CLIENTS = {
    0: (np.array([0.0, 1.0], dtype=np.float32), 1),
    1: (np.array([4.0, 1.0], dtype=np.float32), 3),
}
"""Mean by size (3, 1); variance (1 * 9 + 3 * 1) / 4 = 3 and 0."""


def filled(posterior: Posterior, order: tuple[int, ...] = (0, 1)) -> Posterior:
    for client in order:
        weights, size = CLIENTS[client]
        posterior.add(client, {"w": weights, "steps": np.array(client + 7)}, size)
    return posterior


def samples(posterior: Posterior, number: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.stack([posterior.sample(draw)["w"] for _ in range(number)])


def test_a_gaussian_has_mean_and_variance_of_the_clients_by_size() -> None:
    drawn = samples(filled(Gaussian()), 4000)
    assert drawn.mean(dim=0).tolist() == pytest.approx([3.0, 1.0], abs=0.1)
    assert drawn[:, 0].var().item() == pytest.approx(3.0, rel=0.1)
    assert bool((drawn[:, 1] == 1.0).all())


@pytest.mark.parametrize(("alpha", "spread"), [(1e-3, "ends"), (1e4, "middle")])
def test_a_dirichlet_draws_single_clients_or_their_mean(alpha: float, spread: str) -> None:
    drawn = samples(filled(Dirichlet(alpha)), 200)[:, 0]
    if spread == "ends":
        assert bool(((drawn < 0.01) | (drawn > 3.99)).float().mean() > 0.95)
    else:
        assert bool(((drawn - 3.0).abs() < 0.1).all())


@pytest.mark.parametrize("make", [Gaussian, Dirichlet])
def test_samples_depend_on_the_generator_alone_and_not_on_the_order_of_clients(
    make: Callable[[], Posterior],
) -> None:
    one, other = (samples(filled(make(), order), 5) for order in ((0, 1), (1, 0)))
    assert torch.equal(one, other)
    before = torch.get_rng_state()
    again = filled(make()).sample(torch.Generator().manual_seed(1))["w"]
    assert not torch.equal(again, one[0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("make", [Gaussian, Dirichlet])
def test_whole_numbers_are_the_first_clients_and_others_have_single_precision(
    make: Callable[[], Posterior],
) -> None:
    drawn = filled(make(), (1, 0)).sample(torch.Generator())
    assert drawn["steps"].item() == 7
    assert drawn["w"].dtype == torch.float32
