"""Coefficients: gradients by hand, distributions, whom clients come to listen to, and graphs of who says the same."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedkd.aggregation.coefficients import distances, learned, onto_simplex, personal, similar


def rows_of(*clients: list[float]) -> Tensor:
    """Return what clients say about one sample."""
    return torch.tensor(clients)[:, None, :]


def test_a_client_is_taught_the_mixture_with_its_own_coefficients() -> None:
    said = rows_of([1.0, 0.0], [0.0, 1.0])
    taught = personal(torch.tensor([[0.25, 0.75], [1.0, 0.0]]), said)
    assert taught[:, 0].tolist() == [[0.25, 0.75], [1.0, 0.0]]


def test_a_step_is_the_one_worked_out_by_hand() -> None:
    # Client 0 says (3/4, 1/4), client 1 the reverse; at c = (1/2, 1/2) the mixture is even. d/dc_m of sum_c mix log(mix / p_0) is
    # sum_c p_m (log(mix / p_0) + 1): with a = log(2/3) and b = log 2 these are 1 + (3a + b) / 4 and 1 + (a + 3b) / 4.
    a, b = torch.tensor(2 / 3).log().item(), torch.tensor(2.0).log().item()
    difference = ((a + 3 * b) - (3 * a + b)) / 4
    said = rows_of([0.75, 0.25], [0.25, 0.75])
    rows = learned(torch.full((2, 2), 0.5), said, lr=0.1, rho=0.0)
    # The projection takes away what both have in common, so that half of the difference remains on either side.
    expected = 0.5 + 0.1 * difference / 2
    torch.testing.assert_close(
        rows, torch.tensor([[expected, 1 - expected], [1 - expected, expected]], dtype=torch.float64)
    )


def test_a_pull_alone_goes_towards_all_alike() -> None:
    said = rows_of([0.5, 0.5], [0.5, 0.5])
    rows = learned(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), said, lr=0.1, rho=1.0)
    # 1 - 2 lr rho (1 - 1/2) = 0.9; what all say alike has no other gradient.
    torch.testing.assert_close(rows, torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64))


def test_the_authors_projection_is_a_softmax_of_five_times_the_row_which_levels_many_clients() -> None:
    said = rows_of([0.5, 0.5], [0.5, 0.5])
    rows = learned(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), said, lr=0.1, rho=1.0, projection="softmax")
    # The pull alone gives (0.9, 0.1), as above.
    expected = 1 / (1 + math.exp(-5 * 0.8))
    torch.testing.assert_close(
        rows, torch.tensor([[expected, 1 - expected], [0.5, 0.5]], dtype=torch.float64)
    )
    alike, apart = torch.full((10, 10), 0.1), 1e-4 * (2 * torch.eye(10)[0] - 2 * torch.eye(10)[1])
    said = torch.full((10, 1, 2), 0.5)
    rows = learned(alike + apart, said, lr=0.1, rho=0.0, projection="softmax") - alike
    torch.testing.assert_close(rows, (0.5 * apart).expand(10, 10).double(), atol=1e-6, rtol=0)


def test_clients_come_to_listen_to_those_who_say_what_they_say() -> None:
    said = rows_of([0.8, 0.1, 0.1], [0.75, 0.15, 0.1], [0.1, 0.1, 0.8], [0.1, 0.2, 0.7])
    rows = torch.full((4, 4), 0.25)
    for _ in range(50):
        rows = learned(rows, said, lr=0.1, rho=0.1)
    assert bool((rows[:2, :2] > rows[:2, 2:].amax()).all())
    assert bool((rows[2:, 2:] > rows[2:, :2].amax()).all())
    pulled = torch.full((4, 4), 0.25)
    for _ in range(50):
        pulled = learned(pulled, said, lr=0.001, rho=100.0)
    torch.testing.assert_close(pulled, torch.full((4, 4), 0.25, dtype=torch.float64), atol=0.02, rtol=0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6))
def test_the_nearest_distribution_is_one_and_no_other_is_nearer(row: list[float]) -> None:
    given = torch.tensor([row], dtype=torch.float64)
    [nearest] = onto_simplex(given)
    assert float(nearest.sum()) == pytest.approx(1.0, abs=1e-9)
    assert bool((nearest >= 0).all())
    # Of a projection p of x on a convex set, (x - p) (q - p) <= 0 for all its points q: it is enough to try the corners.
    for corner in torch.eye(len(row), dtype=torch.float64):
        assert float((given[0] - nearest) @ (corner - nearest)) <= 1e-6


@pytest.mark.parametrize("certain", [0.0, 1e-30])
def test_answers_that_are_certain_and_contradict_each_other_give_finite_coefficients(certain: float) -> None:
    said = rows_of([1.0, certain], [certain, 1.0])
    rows = learned(torch.full((2, 2), 0.5), said, lr=0.1, rho=0.7)
    assert bool(rows.isfinite().all())
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(2, dtype=torch.float64))


SAID = rows_of([0.9, 0.1], [0.8, 0.2], [0.1, 0.9])


def test_a_client_is_as_far_from_another_as_the_divergence_from_it_says() -> None:
    apart = distances(SAID)
    expected = 0.8 * math.log(0.8 / 0.9) + 0.2 * math.log(0.2 / 0.1)  # client 0 from what client 1 says
    assert apart[0, 1].item() == pytest.approx(expected, abs=1e-6)
    assert apart.diagonal().tolist() == [0.0, 0.0, 0.0]
    assert torch.isfinite(distances(rows_of([1.0, 0.0], [0.0, 1.0]))).all()


def test_the_nearest_count_alike_or_by_how_near_they_are() -> None:
    assert similar(SAID, neighbours=1, itself=False).tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert similar(SAID, neighbours=1)[0].tolist() == [0.5, 0.5, 0.0]
    rows, apart = similar(SAID, temperature=0.5), distances(SAID)
    assert (rows[0, 1] / rows[0, 2]).item() == pytest.approx(math.exp((apart[0, 2] - apart[0, 1]) / 0.5))
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(3, dtype=torch.float64))


def test_with_all_as_neighbours_alike_there_is_one_mean_for_all() -> None:
    torch.testing.assert_close(similar(SAID), torch.full((3, 3), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(similar(SAID, temperature=1e9), similar(SAID))
    assert similar(SAID[:1], neighbours=3, itself=False).tolist() == [[1.0]]
