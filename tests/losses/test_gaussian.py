import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from fedkd.losses import gaussian, gaussian_kl, gaussian_nll


def said(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_the_likelihood_by_hand() -> None:
    # Mean 1, variance 4, truth 2: (log 2 pi + log 4 + 1/4) / 2.
    value = gaussian_nll(said((1.0, math.log(4.0))), said((2.0,)))
    assert float(value) == pytest.approx((math.log(2 * math.pi) + math.log(4.0) + 0.25) / 2, abs=1e-12)


def test_likelihood_and_divergence_are_those_of_normal_distributions_summed_over_the_numbers() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 7, 6, generator=generator, dtype=torch.float64)
    true = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    mine, theirs = (Normal(x[:, :3], (x[:, 3:] / 2).exp()) for x in (student, teacher))
    torch.testing.assert_close(
        gaussian_nll(student, true, reduction="none"), -mine.log_prob(true).sum(dim=1), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        gaussian_kl(student, teacher, reduction="none"),
        kl_divergence(theirs, mine).sum(dim=1),
        rtol=0,
        atol=1e-12,
    )


def test_the_variance_that_is_learned_for_a_wrong_mean_is_the_squared_error() -> None:
    outputs = said((0.0, math.log(9.0))).requires_grad_()
    gaussian_nll(outputs, said((3.0,))).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad[0].tolist() == pytest.approx([-3.0 / 9.0, 0.0], abs=1e-12)


def test_a_student_that_is_too_sure_is_further_away_than_one_that_is_too_unsure() -> None:
    teacher = said((0.0, 0.0))
    sure, unsure = gaussian_kl(said((1.0, -2.0)), teacher), gaussian_kl(said((1.0, 2.0)), teacher)
    assert sure > unsure > 0


def test_log_variances_beyond_the_bounds_count_as_the_bounds() -> None:
    mean, log_variance = gaussian(said((3.0, 1e6), (3.0, -1e6)))
    assert mean[:, 0].tolist() == [3.0, 3.0]
    assert log_variance[:, 0].tolist() == [10.0, -10.0]
