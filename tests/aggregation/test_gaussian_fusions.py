"""Normal distributions into one: what the fused mean and variance are, and who counts."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from fedkd.aggregation import FUSIONS
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.mixture import Mixture
from fedkd.aggregation.fusions.precision import Precision
from fedkd.aggregation.fusions.product import Product
from fedkd.losses.gaussian import LOG_VARIANCE

ALL = (Precision(), Product(), Mixture())


def fused(
    fusion: Fusion, *teachers: tuple[float, float], weights: tuple[float, ...] = ()
) -> tuple[float, float]:
    """Return the fused mean and variance of teachers given by mean and variance."""
    outputs = torch.tensor([[[mean, math.log(variance)]] for mean, variance in teachers], dtype=torch.float64)
    shares = weights or (1.0 / len(teachers),) * len(teachers)
    mean, log_variance = fusion.fuse(outputs, torch.tensor(shares, dtype=torch.float64)[:, None])[0].tolist()
    return mean, math.exp(log_variance)


def test_by_hand() -> None:
    # Precisions 1 and 1/4: the mean is (0 + 5/4) / (5/4) = 1.
    teachers = (0.0, 1.0), (5.0, 4.0)
    assert fused(Precision(), *teachers) == pytest.approx((1.0, 1 / 0.625), rel=1e-12)
    assert fused(Product(), *teachers) == pytest.approx((1.0, 1 / 1.25), rel=1e-12)
    assert fused(Mixture(), *teachers) == pytest.approx((2.5, 2.5 + 6.25), rel=1e-12)


@pytest.mark.parametrize(("fusion", "variance"), [(Precision(), 0.5), (Product(), 0.1), (Mixture(), 0.5)])
def test_five_identical_teachers_are_one_of_their_own_variance_or_five_measurements(
    fusion: Fusion, variance: float
) -> None:
    assert fused(fusion, *[(3.0, 0.5)] * 5) == pytest.approx((3.0, variance), rel=1e-12)


@pytest.mark.parametrize("fusion", ALL)
def test_a_teacher_without_any_doubt_counts_as_one_of_the_least_variance(fusion: Fusion) -> None:
    certain, least = (
        fusion.fuse(torch.tensor([[[1.0, log_variance]], [[3.0, 0.0]]]), torch.full((2, 1), 0.5))
        for log_variance in (-math.inf, -LOG_VARIANCE)
    )
    assert torch.equal(certain, least)


@pytest.mark.parametrize("fusion", [Precision(), Product()])
def test_an_unsure_teacher_loses_its_weight(fusion: Fusion) -> None:
    mean, variance = fused(fusion, (1.0, 0.01), (9.0, 1e4))
    assert mean == pytest.approx(1.0, abs=1e-4)
    assert variance < 0.03


def test_in_a_mixture_an_unsure_teacher_keeps_its_weight_and_makes_all_unsure() -> None:
    mean, variance = fused(Mixture(), (1.0, 0.01), (9.0, 1e4))
    assert mean == pytest.approx(5.0)
    assert variance > 5000


def test_disagreement_shows_in_the_variance_of_a_mixture_alone() -> None:
    near, far = ((0.0, 1.0), (0.1, 1.0)), ((0.0, 1.0), (8.0, 1.0))
    for fusion, grows in zip(ALL, (False, False, True), strict=True):
        assert (fused(fusion, *far)[1] > 1.1 * fused(fusion, *near)[1]) is grows


def test_a_mixture_has_the_moments_of_the_true_one() -> None:
    means, variances, weights = (0.3, -1.0, 2.5), (0.2, 1.5, 0.7), (0.2, 0.3, 0.5)
    true = MixtureSameFamily(
        Categorical(torch.tensor(weights, dtype=torch.float64)),
        Normal(torch.tensor(means, dtype=torch.float64), torch.tensor(variances, dtype=torch.float64).sqrt()),
    )
    said = fused(Mixture(), *zip(means, variances, strict=True), weights=weights)
    assert said == pytest.approx((float(true.mean), float(true.variance)), rel=1e-12)


def test_the_precision_fusion_is_the_normalised_geometric_mean_of_the_densities() -> None:
    teachers, weights = ((0.3, 0.2), (-1.0, 1.5), (2.5, 0.7)), (0.2, 0.3, 0.5)
    mean, variance = fused(Precision(), *teachers, weights=weights)
    x = torch.linspace(-3.0, 3.0, 7, dtype=torch.float64)
    scales = [
        tuple(torch.tensor(x, dtype=torch.float64) for x in pair) for pair in (*teachers, (mean, variance))
    ]
    *logs, fused_log = (Normal(m, v.sqrt()).log_prob(x) for m, v in scales)
    pooled = torch.stack([share * log for share, log in zip(weights, logs, strict=True)]).sum(dim=0)
    constant = pooled - fused_log
    assert float(constant.max() - constant.min()) < 1e-12


def test_a_product_counts_a_teacher_of_weight_0_as_absent() -> None:
    assert fused(Product(), (1.0, 0.5), (9.0, 0.5), weights=(1.0, 0.0)) == pytest.approx(
        (1.0, 0.5), rel=1e-12
    )


def test_a_very_sure_teacher_in_the_tail_of_others_keeps_a_positive_variance() -> None:
    """The difference of the moments is lost in rounding there."""
    mean, variance = fused(Mixture(), (1e6, 1e-4), (1e6, 1e-4))
    assert mean == pytest.approx(1e6)
    assert variance > 0


def test_the_three_are_found_by_name_and_are_refused_where_no_variance_is_said() -> None:
    named = {name for name in FUSIONS.names() if FUSIONS.create(name, key="fusion").needs_gaussians}
    assert named == {"precision", "product", "mixture"}
