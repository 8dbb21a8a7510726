"""Losses for networks that say how sure they are of a number: a mean and the logarithm of a variance.

>>> gaussian_nll(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0]]))
tensor(1.4189)

Outputs are [batch, 2 x numbers]: the means of all numbers, then their log variances. Numbers are independent given the input; what is
said of a sample is summed over them, in nats.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses.checks import agree
from fedkd.losses.reductions import Reduction, reduce

LOG_VARIANCE = 10.0
"""Log variances beyond this, either way, count as this: standard deviations from 0.0067 to 148 of the unit of the numbers."""


def gaussian(
    outputs: Float[Tensor, "*shape twice"],
) -> tuple[Float[Tensor, "*shape numbers"], Float[Tensor, "*shape numbers"]]:
    """Return the means and the log variances that outputs stand for, the latter within `LOG_VARIANCE`.

    Raises:
        IllegalCombination: one of them is missing.
    """
    if outputs.shape[-1] % 2:
        raise IllegalCombination(
            f"outputs are means and as many log variances; {outputs.shape[-1]} numbers are not"
        )
    mean, log_variance = outputs.chunk(2, dim=-1)
    return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)


def gaussian_nll(
    outputs: Float[Tensor, "batch twice"],
    targets: Float[Tensor, "batch numbers"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Negative log-likelihood of the true numbers: `(log(2 pi) + log s^2 + (y - m)^2 / s^2) / 2`, in nats.

    Args:
        outputs: means m and log variances log s^2; receive the gradient.
        targets: the true numbers y.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Nix & Weigend, "Estimating the mean and variance of the target probability distribution" (ICNN 1994), equation 3.
    """
    mean, log_variance = gaussian(outputs)
    agree("gaussian_nll", mean.shape, targets.shape)
    each = math.log(2 * math.pi) + log_variance + (targets - mean).square() * (-log_variance).exp()
    return reduce(each.sum(dim=-1) / 2, reduction)


def gaussian_kl(
    student: Float[Tensor, "batch twice"],
    teacher: Float[Tensor, "batch twice"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """`KL(teacher || student)` of two normal distributions: `(log s_S^2/s_T^2 + (s_T^2 + (m_T - m_S)^2) / s_S^2 - 1) / 2`, in nats.

    Args:
        student: means and log variances; receive the gradient.
        teacher: means and log variances; no gradient.
        reduction: mean over the batch, sum, or one value a sample.
    """
    agree("gaussian_kl", student.shape, teacher.shape)
    mean, log_variance = gaussian(student)
    known, known_log_variance = gaussian(teacher.detach())
    ratio = known_log_variance - log_variance
    each = torch.expm1(ratio) - ratio + (known - mean).square() * (-log_variance).exp()
    return reduce(each.sum(dim=-1) / 2, reduction)
