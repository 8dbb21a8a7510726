import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn import metrics

from fedkd.tasks import Regression

TASK = Regression(mean=150.0, std=77.0)


def answers(n: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    targets = torch.randn(n, 1, generator=generator)
    return targets + 0.5 * torch.randn(n, 1, generator=generator), targets


def test_metrics_are_in_the_own_units_of_the_data_and_agree_with_scikit_learn() -> None:
    outputs, targets = answers()
    said, true = (x.double().numpy() * 77.0 + 150.0 for x in (outputs, targets))
    measured = TASK.metrics(outputs, targets)
    assert measured["rmse"] == pytest.approx(np.sqrt(((said - true) ** 2).mean()))
    assert measured["mae"] == pytest.approx(np.abs(said - true).mean())
    assert measured["r2"] == pytest.approx(metrics.r2_score(true, said))
    assert measured["loss"] == pytest.approx(float((outputs - targets).square().mean()), rel=1e-5)


def test_r2_does_not_depend_on_the_unit_and_errors_scale_with_it() -> None:
    outputs, targets = answers()
    other = Regression(mean=0.0, std=7.7).metrics(outputs, targets)
    assert other["r2"] == pytest.approx(TASK.metrics(outputs, targets)["r2"])
    assert other["rmse"] == pytest.approx(TASK.metrics(outputs, targets)["rmse"] / 10)


def test_the_mean_has_the_score_of_chance() -> None:
    _, targets = answers()
    guess = targets.mean().expand(50, 1)
    assert TASK.metrics(guess, targets)["r2"] == pytest.approx(TASK.chance(targets), abs=1e-6)


@pytest.mark.parametrize("outputs", [torch.empty(0, 1), torch.full((3, 1), float("nan"))])
def test_nothing_to_measure_gives_nan_for_every_metric(outputs: torch.Tensor) -> None:
    measured = TASK.metrics(outputs, torch.zeros(len(outputs), 1))
    assert all(math.isnan(value) for value in measured.values())


def test_one_sample_has_an_error_and_no_r2() -> None:
    measured = TASK.metrics(torch.tensor([[1.0]]), torch.tensor([[0.0]]))
    assert math.isnan(measured["r2"])
    assert measured["mae"] == pytest.approx(77.0)


def test_an_ensemble_is_the_weighted_mean_of_the_numbers() -> None:
    outputs = torch.tensor([[[1.0], [2.0]], [[3.0], [6.0]]])
    assert TASK.combine(outputs, torch.tensor([0.25, 0.75])).tolist() == [[2.5], [5.0]]


def test_numbers_have_no_temperature() -> None:
    outputs, teacher = answers()
    cold, hot = (TASK.divergence(outputs, teacher, temperature=t) for t in (1.0, 9.0))
    assert torch.equal(cold, hot)
    assert torch.allclose(cold, (outputs - teacher).square().squeeze(1))


def test_pseudo_labels_are_the_numbers_themselves() -> None:
    outputs, _ = answers()
    assert TASK.harden(outputs) is outputs


def test_agreement_falls_with_the_squared_difference_from_one() -> None:
    outputs, _ = answers()
    assert TASK.agreement(outputs, outputs) == 1.0
    assert TASK.agreement(outputs, outputs + 2.0) == pytest.approx(-3.0)


def test_a_network_that_says_one_number_has_died() -> None:
    assert TASK.has_died(torch.full((4, 1), 3.0))
    assert TASK.has_died(torch.tensor([[1.0], [float("inf")]]))
    assert not TASK.has_died(torch.tensor([[1.0], [2.0]]))


@given(
    seed=st.integers(0, 999),
    clients=st.integers(1, 5),
    n=st.integers(2, 90),
    numbers=st.integers(1, 3),
    noise=st.sampled_from([0.0, 0.01, 1.0, 10.0]),
)
def test_metrics_of_many_are_those_of_scikit_learn_for_each(
    seed: int, clients: int, n: int, numbers: int, noise: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(n, numbers, generator=generator)
    outputs = targets + noise * torch.randn(clients, n, numbers, generator=generator)
    true = targets.double().numpy() * 77.0 + 150.0
    for each, measured in zip(outputs, TASK.metrics_of_many(outputs, targets), strict=True):
        said = each.double().numpy() * 77.0 + 150.0
        expected = {
            "r2": metrics.r2_score(true, said),
            "rmse": metrics.root_mean_squared_error(true, said),
            "mae": metrics.mean_absolute_error(true, said),
            "loss": float(TASK.supervised(each.double(), targets.double()).mean()),
        }
        assert measured == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert TASK.metrics(each, targets) == pytest.approx(measured, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("said", "r2"), [(2.0, 1.0), (3.0, 0.0)])
def test_r2_where_the_truth_never_varies_is_that_of_scikit_learn(said: float, r2: float) -> None:
    outputs, targets = torch.full((4, 1), said), torch.full((4, 1), 2.0)
    assert Regression().metrics(outputs, targets)["r2"] == r2 == metrics.r2_score(targets, outputs)


def test_one_network_that_is_not_finite_leaves_the_others_their_metrics() -> None:
    outputs, targets = answers()
    broken = outputs.clone()
    broken[3] = math.inf
    together = torch.stack([outputs, broken, torch.zeros_like(outputs)])
    first, second, third = TASK.measure(together, targets)
    assert first == pytest.approx({**TASK.metrics(outputs, targets), "dead": 0.0}, rel=1e-12)
    assert second.pop("dead") == 1.0
    assert all(math.isnan(value) for value in second.values())
    assert third["dead"] == 1.0
    assert third["mae"] > 0


def test_losses_are_the_supervised_ones_in_float64() -> None:
    outputs, targets = answers()
    expected = TASK.supervised(outputs.double(), targets.double())
    summand, losses = TASK.summand_and_losses(outputs, targets)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(summand, TASK.summand(outputs))
