"""Running sums say what a formula over all teachers at once would say."""

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor

from fedkd.runtime.ensembles import Ensembles
from fedkd.tasks import Classification, Regression, Task


def teachers(seed: int, count: int, outputs: int, scale: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    said = scale * torch.randn(count, 9, outputs, generator=generator)
    return said, torch.rand(count, generator=generator)


def filled(task: Task, targets: Tensor, said: Tensor, weights: Tensor) -> Ensembles:
    ensembles = Ensembles(task, targets)
    for outputs, weight in zip(said, weights.tolist(), strict=True):
        assert ensembles.add(outputs, weight)
    return ensembles


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(1, 20), st.sampled_from([0.1, 1.0, 10.0, 60.0]))
def test_ensembles_of_classes_are_means_of_probabilities_and_the_oracle_the_least_loss(
    seed: int, count: int, scale: float
) -> None:
    said, weights = teachers(seed, count, 4, scale)
    targets = torch.arange(9) % 4
    ensembles = filled(Classification(), targets, said, weights)
    log_probabilities = F.log_softmax(said.double(), dim=-1)
    shares = (weights.double() / weights.double().sum()).log()[:, None, None]
    weighted = torch.logsumexp(log_probabilities + shares, dim=0)
    uniform = torch.logsumexp(log_probabilities, dim=0) - torch.tensor(count).log()
    torch.testing.assert_close(ensembles.weighted(), weighted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ensembles.uniform(), uniform, rtol=1e-6, atol=1e-6)
    losses = -log_probabilities[:, torch.arange(9), targets]
    assert torch.equal(ensembles.oracle(), said[losses.argmin(0), torch.arange(9)])


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(1, 20))
def test_ensembles_of_numbers_are_means_and_the_oracle_the_nearest(seed: int, count: int) -> None:
    said, weights = teachers(seed, count, 2, 3.0)
    targets = torch.zeros(9, 2)
    ensembles = filled(Regression(), targets, said, weights)
    shares = (weights / weights.sum()).double()[:, None, None]
    torch.testing.assert_close(ensembles.weighted(), (said * shares).sum(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ensembles.uniform(), said.double().mean(0), rtol=1e-9, atol=1e-9)
    nearest = said.double().square().mean(-1).argmin(0)
    assert torch.equal(ensembles.oracle(), said[nearest, torch.arange(9)])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("task", [Classification(), Regression()])
def test_what_is_not_finite_leaves_an_ensemble_as_it_was(task: Task, bad: float) -> None:
    targets = torch.zeros(9, 1) if isinstance(task, Regression) else torch.zeros(9, dtype=torch.long)
    said, weights = teachers(0, 3, 1 if isinstance(task, Regression) else 4, 1.0)
    ensembles = filled(task, targets, said, weights)
    before = ensembles.weighted()
    said[0, 5, 0] = bad
    assert not ensembles.add(said[0], 1.0)
    assert len(ensembles) == 3
    assert torch.equal(ensembles.weighted(), before)


def test_without_any_weight_all_count_alike() -> None:
    said, _ = teachers(0, 3, 4, 1.0)
    ensembles = filled(Classification(), torch.zeros(9, dtype=torch.long), said, torch.zeros(3))
    assert torch.equal(ensembles.weighted(), ensembles.uniform())
    assert torch.allclose(ensembles.uniform().exp().sum(-1), torch.ones(9, dtype=torch.float64))


def test_a_class_that_no_teacher_believes_in_has_a_finite_loss() -> None:
    ensembles = Ensembles(Classification(), torch.tensor([1]))
    ensembles.add(torch.tensor([[1e4, 0.0]]), 1.0)
    assert Classification().metrics(ensembles.weighted(), torch.tensor([1]))["loss"] == pytest.approx(
        708.396, abs=1e-3
    )


def test_the_oracle_takes_for_each_sample_the_first_of_the_teachers_with_the_least_loss() -> None:
    ensembles = Ensembles(Classification(), torch.tensor([0, 1]))
    first = torch.tensor([[5.0, 0.0], [5.0, 0.0]])
    shifted = first + 1.0  # says the same
    for outputs in (first, shifted, torch.tensor([[0.0, 5.0], [0.0, 5.0]])):
        ensembles.add(outputs, 1.0)
    assert torch.equal(ensembles.oracle(), torch.tensor([[5.0, 0.0], [0.0, 5.0]]))
    assert torch.equal(first, torch.tensor([[5.0, 0.0], [5.0, 0.0]]))
