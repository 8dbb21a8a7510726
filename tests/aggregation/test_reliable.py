import math

import pytest
import torch

from fedkd.aggregation.reliable import reliable

LABELS = torch.tensor([0, 1])


def said(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities, dtype=torch.float64).log()


def entropy(p: float) -> float:
    return -(p * math.log(p) + (1 - p) * math.log(1 - p))


def test_teachers_that_are_right_count_by_the_softmax_of_their_inverse_entropy_and_the_others_not() -> None:
    """Three teachers, one sample of class 0; the third is wrong, and surest."""
    outputs = torch.stack([said(0.9, 0.1), said(0.6, 0.4), said(0.01, 0.99)])[:, None]
    weights = reliable(outputs, torch.ones(3, 1, dtype=torch.bool), LABELS[:1])
    sure, unsure = math.exp(1 / entropy(0.9)), math.exp(1 / entropy(0.6))
    expected = [sure / (sure + unsure), unsure / (sure + unsure), 0.0]
    assert weights[:, 0].tolist() == pytest.approx(expected, abs=1e-12)


def test_where_nobody_is_right_nobody_counts_and_those_who_are_silent_never_do() -> None:
    outputs = torch.stack([said(0.9, 0.1), said(0.7, 0.3)])[:, None].expand(2, 2, 2)
    present = torch.tensor([[True, True], [False, True]])
    weights = reliable(outputs, present, LABELS)
    assert weights.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_certain_teachers_count_alike_and_extreme_outputs_stay_finite() -> None:
    outputs = torch.tensor([[[1e4, -1e4]], [[1e4, 0.0]], [[2.0, 0.0]]])
    weights = reliable(outputs, torch.ones(3, 1, dtype=torch.bool), LABELS[:1])
    assert weights[:, 0].tolist() == [0.5, 0.5, 0.0]
