"""Regression by normal distributions: outputs are a mean and a log variance of each number, targets are the numbers.

Source: Nix & Weigend, "Estimating the mean and variance of the target probability distribution" (ICNN 1994); ensembles as in
Lakshminarayanan, Pritzel & Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles" (NeurIPS 2017).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedkd.losses import gaussian, gaussian_kl, gaussian_nll
from fedkd.tasks.regression import Regression

_CENTRAL = math.sqrt(2) * float(torch.erfinv(torch.tensor(0.9, dtype=torch.float64)))
"""Standard deviations to either side that hold 90 % of a normal distribution."""

_LEVELS = torch.arange(1, 20, dtype=torch.float64) / 20
"""The probabilities at which calibration is measured: 0.05, 0.10, ..., 0.95."""


@dataclass(frozen=True)
class GaussianRegression(Regression):
    """Numbers to predict, each with how sure one is: [samples, 2 x numbers], all means and then all log variances.

    Both are in standard deviations of the training targets; the log variance counts within `fedkd.losses.gaussian`'s bounds.
    """

    metric_names: ClassVar[tuple[str, ...]] = (
        *Regression.metric_names,
        "nll",
        "coverage_90",
        "miscalibration",
    )
    # The worst client is the one that covers least.
    larger_is_better: ClassVar[frozenset[str]] = Regression.larger_is_better | {"coverage_90"}
    gaussian: ClassVar[bool] = True

    def supervised(
        self, outputs: Float[Tensor, "n twice"], targets: Float[Tensor, "n numbers"]
    ) -> Float[Tensor, " n"]:
        """Return the negative log-likelihood of each sample in nats, of standardised numbers."""
        return gaussian_nll(outputs, targets, reduction="none")

    def natural_divergence(
        self, student: Float[Tensor, "n twice"], teacher: Float[Tensor, "n twice"], temperature: float
    ) -> Float[Tensor, " n"]:
        """Return `KL(teacher || student)` of each sample in nats; a number has no temperature."""
        del temperature
        return gaussian_kl(student, teacher, reduction="none")

    def measured(
        self, outputs: Float[Tensor, "clients n twice"], targets: Float[Tensor, "n numbers"]
    ) -> Float[Tensor, "clients metrics"]:
        """Return the metrics of the means, the loss, the likelihood in the data's units, and how honest the variances are.

        - `nll`: mean negative log-likelihood in nats, of the numbers in the data's units.
        - `coverage_90`: share of the numbers within the central 90 % interval; best is 0.9.
        - `miscalibration`: mean over 19 probabilities p of `|share of numbers below their p-quantile - p|`, from 0 to 1/2.

        Source: Kuleshov, Fenner & Ermon, "Accurate Uncertainties for Deep Learning Using Calibrated Regression" (ICML 2018),
        equations 8 and 9, with the absolute difference in place of its square.
        """
        mean, log_variance = gaussian(outputs.double())
        plain = super().measured(mean, targets)
        finite = outputs.isfinite().all(dim=-1).all(dim=-1)
        off = (targets.double() - mean) * (-log_variance / 2).exp()
        loss = (math.log(2 * math.pi) + log_variance + off.square()).sum(dim=-1).mean(dim=-1) / 2
        below = torch.special.ndtr(off)
        levels = _LEVELS.to(below.device)
        shares = torch.stack([(below <= level).double().mean(dim=(1, 2)) for level in levels], dim=-1)
        columns = (
            *plain.unbind(dim=-1)[:-1],
            loss,
            loss + mean.shape[-1] * math.log(self.std),
            (off.abs() <= _CENTRAL).double().mean(dim=(1, 2)),
            (shares - levels).abs().mean(dim=-1),
        )
        return torch.stack(columns, dim=-1).where(finite[:, None], float("nan"))

    def summand(self, outputs: Float[Tensor, "n twice"]) -> Float[Tensor, "n twice"]:
        """Return the first and the second moment of each number: `m` and `s^2 + m^2`."""
        mean, log_variance = gaussian(outputs.detach().double())
        return torch.cat((mean, log_variance.exp() + mean.square()), dim=-1)

    def summand_and_losses(
        self, outputs: Float[Tensor, "n twice"], targets: Float[Tensor, "n numbers"]
    ) -> tuple[Float[Tensor, "n twice"], Float[Tensor, " n"]]:
        """Return the moments, and the negative log-likelihood of each sample."""
        losses = gaussian_nll(outputs.detach().double(), targets.double(), reduction="none")
        return self.summand(outputs), losses

    def from_mean(self, mean: Float[Tensor, "n twice"]) -> Float[Tensor, "n twice"]:
        """Return mean and log variance of the mixture, by the law of total variance."""
        first, second = mean.chunk(2, dim=-1)
        variance = (second - first.square()).clamp_min(torch.finfo(mean.dtype).tiny)
        return torch.cat(gaussian(torch.cat((first, variance.log()), dim=-1)), dim=-1)

    def harden(self, teacher: Float[Tensor, "n twice"]) -> Float[Tensor, "n numbers"]:
        """Return the means."""
        return gaussian(teacher)[0]

    def agreement(self, first: Float[Tensor, "n twice"], second: Float[Tensor, "n twice"]) -> float:
        """Return 1 minus the mean squared difference of the means, in standard deviations of the target."""
        return super().agreement(self.harden(first), self.harden(second))

    def died(self, outputs: Float[Tensor, "clients n twice"]) -> Bool[Tensor, " clients"]:
        """Return whether each network gives every sample the same mean, or says something that is not finite."""
        return ~outputs.isfinite().all(dim=-1).all(dim=-1) | super().died(gaussian(outputs)[0])
