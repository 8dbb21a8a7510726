"""Robust fusions: what they are by hand, and what corrupt teachers can do to them and to the mean."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedkd.aggregation import FUSIONS
from fedkd.aggregation.fusions._robust import RobustFusion
from fedkd.aggregation.fusions.cronus import Cronus
from fedkd.aggregation.fusions.geometric_median import GeometricMedian
from fedkd.aggregation.fusions.mean_probabilities import MeanProbabilities
from fedkd.aggregation.fusions.median import Median
from fedkd.aggregation.fusions.quantile_filter import QuantileFilter
from fedkd.aggregation.fusions.trimmed_mean import TrimmedMean
from fedkd.testing.contract import run_clauses
from fedkd.testing.fusions import CONTRACT

ROBUST: list[RobustFusion] = [
    part
    for part in (FUSIONS.create(name, key="fusion") for name in FUSIONS.names())
    if isinstance(part, RobustFusion)
]
OF_OUTPUTS: list[RobustFusion] = [type(part)(of="outputs") for part in ROBUST]


def named(value: object) -> str:
    return type(value).__name__


def column(*numbers: float) -> Tensor:
    """One sample with one output, of some teachers."""
    return torch.tensor(numbers, dtype=torch.float64)[:, None, None]


def weights(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def alike(count: int, n: int = 1) -> Tensor:
    return torch.full((count, n), 1.0 / count, dtype=torch.float64)


def crowd(corrupt: int, count: int = 20) -> tuple[Tensor, Tensor]:
    """Teachers that nearly agree on 8 samples of 5 classes, and the same with some that are sure of one wrong class."""
    generator = torch.Generator().manual_seed(4)
    clean = torch.randn(1, 8, 5, generator=generator) + 0.05 * torch.randn(count, 8, 5, generator=generator)
    spoiled = clean.clone()
    spoiled[:corrupt] = 50.0 * F.one_hot(clean[0].argmin(dim=-1), 5)
    return clean, spoiled


@given(numbers=st.lists(st.floats(-100, 100), min_size=1, max_size=9))
def test_with_equal_weights_the_median_is_the_ordinary_one(numbers: list[float]) -> None:
    fused = Median(of="outputs").fuse(column(*numbers), alike(len(numbers)))
    assert float(fused) == pytest.approx(float(np.median(numbers)))


def test_a_weighted_median_lies_where_half_of_the_weight_is_reached() -> None:
    assert float(Median(of="outputs").fuse(column(5, 1, 9), weights(0.6, 0.3, 0.1))) == 5.0
    assert float(Median(of="outputs").fuse(column(5, 1, 9), weights(0.1, 0.3, 0.6))) == 9.0
    assert float(Median(of="outputs").fuse(column(5, 1, 9), weights(0.2, 0.5, 0.3))) == 3.0


def test_a_trimmed_mean_leaves_out_the_ends() -> None:
    values = column(100, 3, 1, -50, 5)
    assert float(TrimmedMean(of="outputs", trim=0.2).fuse(values, alike(5))) == pytest.approx(3.0)
    assert float(TrimmedMean(of="outputs", trim=0.0).fuse(values, alike(5))) == pytest.approx(59 / 5)
    half = (
        0.5 * 1 + 0.2 * 0 + 1 * 3 + 0.5 * 5
    ) / 2.0  # a cut through the middle of a teacher leaves half of it
    assert float(TrimmedMean(of="outputs", trim=0.3).fuse(values, alike(5))) == pytest.approx(half)


def test_the_geometric_median_of_a_line_is_its_median_and_of_a_square_its_middle() -> None:
    on_a_line = torch.tensor([[[0.0, 0.0]], [[1.0, 1.0]], [[10.0, 10.0]]])
    fused = GeometricMedian(of="outputs", iterations=2000).fuse(on_a_line, alike(3))
    assert torch.allclose(fused, torch.ones(1, 2), atol=1e-3)
    square = torch.tensor([[[0.0, 0.0]], [[0.0, 2.0]], [[2.0, 0.0]], [[2.0, 2.0]]])
    assert torch.allclose(GeometricMedian(of="outputs").fuse(square, alike(4)), torch.ones(1, 2))


def test_the_geometric_median_leaves_an_answer_that_it_starts_on() -> None:
    # The median of each number is 0, where one of five stands; d/dt of sqrt(2) t + 4 sqrt(t^2 + (1 - t)^2) is 0 at this t.
    points = torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]], [[1.0, 0.0]], [[1.0, 0.0]]])
    beyond = GeometricMedian(of="outputs").fuse(points.double(), alike(5))
    assert beyond[0].tolist() == pytest.approx([(1.0 - 15.0**-0.5) / 2.0] * 2, abs=1e-5)


def test_no_point_has_a_smaller_summed_distance_than_the_geometric_median() -> None:
    points = torch.randn(7, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = torch.rand(7, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shares /= shares.sum(dim=0)
    found = GeometricMedian(of="outputs", iterations=1000).fuse(points, shares)

    def cost(at: Tensor) -> float:
        return float((shares * (points - at).norm(dim=-1)).sum())

    steps = 1e-3 * torch.randn(200, 1, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert all(cost(found) <= cost(found + step) for step in steps)


def test_the_filter_of_cronus_takes_weight_by_squared_distance() -> None:
    numbers = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    # The mean is 21.2; the farthest would lose all, the others in proportion, a quarter of the weight together.
    lost = (numbers - 21.2) ** 2 / 78.8**2 / 5
    left = 0.2 - lost * 0.2 / lost.sum()  # but no more than twice the share of the outliers may go
    expected = (left * numbers).sum() / 0.8
    assert float(Cronus(of="outputs", outliers=0.1).fuse(column(*numbers), alike(5))) == pytest.approx(
        expected
    )
    second = 0.2 - lost  # with more outliers the next step begins where this one ended
    mean = (second * numbers).sum() / second.sum()
    further = second * (numbers - mean) ** 2 * (second > 1e-12)
    further /= ((numbers - mean) ** 2)[:4].max()
    further *= (second.sum() - 0.6) / further.sum()
    expected = ((second - further) * numbers).sum() / 0.6
    assert float(Cronus(of="outputs", outliers=0.2).fuse(column(*numbers), alike(5))) == pytest.approx(
        expected
    )
    assert float(Cronus(of="outputs", outliers=0.0).fuse(column(*numbers), alike(5))) == pytest.approx(21.2)


def test_two_teachers_that_contradict_each_other_leave_cronus_in_the_middle() -> None:
    assert float(Cronus(of="outputs", outliers=0.4).fuse(column(-3.0, 5.0), alike(2))) == pytest.approx(1.0)


def test_a_quantile_filter_is_the_mean_of_those_near_the_median() -> None:
    values = column(0.0, 1.0, 2.0, 4.0, 100.0)
    assert float(QuantileFilter(of="outputs", keep=0.8).fuse(values, alike(5))) == pytest.approx(7 / 4)
    assert float(QuantileFilter(of="outputs", keep=0.2).fuse(values, alike(5))) == pytest.approx(2.0)
    assert float(QuantileFilter(of="outputs", keep=1.0).fuse(values, alike(5))) == pytest.approx(107 / 5)


@pytest.mark.parametrize("fusion", ROBUST, ids=named)
def test_corrupt_teachers_up_to_the_stated_share_do_little_while_the_mean_drifts(
    fusion: RobustFusion,
) -> None:
    corrupt = int(fusion.breakdown * 20 + 1e-6)
    clean, spoiled = crowd(corrupt)
    shares = alike(20, 8).float()
    before, after = (F.softmax(fusion.fuse(said, shares), dim=-1) for said in (clean, spoiled))
    means = [F.softmax(MeanProbabilities().fuse(said, shares), dim=-1) for said in (clean, spoiled)]
    moved, drifted = (after - before).norm(dim=-1), (means[1] - means[0]).norm(dim=-1)
    assert corrupt >= 4
    assert moved.max() < 0.1
    assert drifted.min() > 0.15


@pytest.mark.parametrize("fusion", [*ROBUST, *OF_OUTPUTS], ids=named)
@given(order=st.permutations(range(6)))
def test_the_order_of_teachers_does_not_matter(fusion: RobustFusion, order: list[int]) -> None:
    said = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    shares = torch.rand(6, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    shares /= shares.sum(dim=0)
    assert torch.allclose(fusion.fuse(said[order], shares[order]), fusion.fuse(said, shares), atol=1e-7)


@pytest.mark.parametrize("fusion", OF_OUTPUTS, ids=named)
def test_of_outputs_they_keep_their_contract(fusion: RobustFusion) -> None:
    assert [check for check in run_clauses(fusion, CONTRACT.clauses) if not check.passed] == []


@pytest.mark.parametrize("fusion", OF_OUTPUTS, ids=named)
def test_of_outputs_they_make_sense_for_numbers_and_say_in_which_form_they_go_down(
    fusion: RobustFusion,
) -> None:
    assert not fusion.needs_classes
    assert fusion.gives == "logits"
    assert type(fusion)().needs_classes
    assert type(fusion)().gives == "probabilities"
    said = column(1.0, 1.1, 1.2, 1.3, 50.0).float()
    assert 1.0 <= float(fusion.fuse(said, alike(5).float())) < 2.0


@pytest.mark.parametrize("fusion", [*ROBUST, *OF_OUTPUTS], ids=named)
def test_two_classes_one_teacher_and_one_sample_are_enough(fusion: RobustFusion) -> None:
    said = torch.tensor([[[1e4, -1e4]]])
    fused = fusion.fuse(said, torch.ones(1, 1))
    assert torch.allclose(F.softmax(fused, dim=-1), torch.tensor([[1.0, 0.0]]))
