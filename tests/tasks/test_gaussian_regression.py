import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from fedkd.tasks import GaussianRegression, Regression

TASK = GaussianRegression(mean=150.0, std=77.0)


def answers(n: int = 400, *, spread: float = 1.0, numbers: int = 1) -> tuple[Tensor, Tensor]:
    """Outputs whose stated deviation is `spread` times the true one, and the true numbers."""
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(n, numbers, generator=generator)
    deviation = 0.2 + torch.rand(n, numbers, generator=generator)
    targets = mean + deviation * torch.randn(n, numbers, generator=generator)
    return torch.cat((mean, 2 * (spread * deviation).log()), dim=1), targets


def test_of_the_means_the_metrics_are_those_of_a_plain_regression() -> None:
    outputs, targets = answers()
    plain = Regression(mean=150.0, std=77.0).metrics(outputs[:, :1], targets)
    measured = TASK.metrics(outputs, targets)
    assert {name: measured[name] for name in ("r2", "rmse", "mae")} == pytest.approx(
        {name: plain[name] for name in ("r2", "rmse", "mae")}, rel=1e-12
    )


def test_the_likelihood_is_that_of_the_numbers_in_their_own_unit() -> None:
    outputs, targets = answers(numbers=2)
    mean, deviation = outputs[:, :2].double() * 77.0 + 150.0, (outputs[:, 2:].double() / 2).exp() * 77.0
    own = targets.double() * 77.0 + 150.0
    expected = -stats.norm.logpdf(own, mean, deviation).sum(axis=1).mean()
    assert TASK.metrics(outputs, targets)["nll"] == pytest.approx(expected, rel=1e-12)
    loss = TASK.supervised(outputs.double(), targets.double()).mean()
    assert TASK.metrics(outputs, targets)["loss"] == pytest.approx(float(loss), rel=1e-12)


def test_coverage_and_miscalibration_are_those_of_the_normal_quantiles() -> None:
    outputs, targets = answers()
    mean, deviation = outputs[:, :1].numpy(), (outputs[:, 1:] / 2).exp().numpy()
    low, high = stats.norm.interval(0.9, mean, deviation)
    covered = ((targets.numpy() >= low) & (targets.numpy() <= high)).mean()
    levels = [level / 20 for level in range(1, 20)]
    shares = [(targets.numpy() <= stats.norm.ppf(level, mean, deviation)).mean() for level in levels]
    expected = sum(abs(share - level) for share, level in zip(shares, levels, strict=True)) / 19
    measured = TASK.metrics(outputs, targets)
    assert measured["coverage_90"] == pytest.approx(covered, abs=1e-9)
    assert measured["miscalibration"] == pytest.approx(expected, abs=1e-9)


def test_honest_variances_cover_what_they_say_and_others_do_not() -> None:
    honest, sure, unsure = (TASK.metrics(*answers(4000, spread=spread)) for spread in (1.0, 0.3, 3.0))
    assert honest["coverage_90"] == pytest.approx(0.9, abs=0.02)
    assert sure["coverage_90"] < 0.5
    assert unsure["coverage_90"] > 0.99
    assert honest["miscalibration"] < 0.02 < min(sure["miscalibration"], unsure["miscalibration"])
    assert honest["nll"] < min(sure["nll"], unsure["nll"])


def test_many_networks_are_measured_as_each_alone_and_broken_ones_have_no_metrics() -> None:
    outputs, targets = answers(60)
    broken = outputs.clone()
    broken[4, 1] = math.nan
    same = outputs.clone()
    same[:, 0] = 0.5
    first, second, third = TASK.measure(torch.stack((outputs, broken, same)), targets)
    assert first == pytest.approx({**TASK.metrics(outputs, targets), "dead": 0.0}, rel=1e-12)
    assert second.pop("dead") == 1.0
    assert all(math.isnan(value) for value in second.values())
    assert third["dead"] == 1.0, "its variance moves, its mean does not"


def test_an_ensemble_has_the_moments_of_the_mixture() -> None:
    # Means 0 and 4 with variances 1 and 3, alike: mean 2, variance (1 + 3) / 2 + 4.
    outputs = torch.tensor([[[0.0, 0.0]], [[4.0, math.log(3.0)]]], dtype=torch.float64)
    mean, log_variance = TASK.combine(outputs, torch.tensor([0.5, 0.5]))[0].tolist()
    assert (mean, math.exp(log_variance)) == pytest.approx((2.0, 6.0), rel=1e-12)


def test_pseudo_labels_and_agreement_are_about_the_means() -> None:
    outputs, _ = answers()
    other = outputs.clone()
    other[:, 1] += 3.0
    assert torch.equal(TASK.harden(outputs), outputs[:, :1])
    assert TASK.agreement(outputs, other) == 1.0
    assert TASK.supervised(outputs, TASK.harden(outputs)).isfinite().all()


def test_losses_are_the_supervised_ones_in_float64() -> None:
    outputs, targets = answers()
    summand, losses = TASK.summand_and_losses(outputs, targets)
    expected = TASK.supervised(outputs.double(), targets.double())
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(TASK.from_mean(summand), outputs.double(), rtol=1e-9, atol=1e-9)
