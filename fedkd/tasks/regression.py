"""Regression: outputs are numbers in units of the target's standard deviation, targets likewise.

Training sees standardised numbers; metrics are reported in the data's own units.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedkd.data.datasets.base import DataInfo
from fedkd.losses import mse
from fedkd.tasks.base import Task


@dataclass(frozen=True)
class Regression(Task):
    """Numbers to predict.

    Args:
        mean: mean of the training targets, in the data's units.
        std: standard deviation of the training targets, in the data's units.
    """

    mean: float = 0.0
    std: float = 1.0

    score: ClassVar[str] = "r2"
    metric_names: ClassVar[tuple[str, ...]] = ("r2", "rmse", "mae", "loss")
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"r2"})
    probabilistic: ClassVar[bool] = False

    @classmethod
    def of(cls, data: DataInfo) -> "Regression":
        """Return the task with the mean and deviation of the data's targets."""
        return cls(mean=data.target_mean, std=data.target_std)

    def supervised(
        self, outputs: Float[Tensor, "n numbers"], targets: Float[Tensor, "n numbers"]
    ) -> Float[Tensor, " n"]:
        """Return the squared error of each sample, in standard deviations squared."""
        return mse(outputs, targets, reduction="none")

    def natural_divergence(
        self, student: Float[Tensor, "n numbers"], teacher: Float[Tensor, "n numbers"], temperature: float
    ) -> Float[Tensor, " n"]:
        """Return the squared difference of each sample; a number has no temperature."""
        del temperature
        return mse(student, teacher, reduction="none")

    def measured(
        self, outputs: Float[Tensor, "clients n numbers"], targets: Float[Tensor, "n numbers"]
    ) -> Float[Tensor, "clients metrics"]:
        """Return R2, root mean squared error, mean absolute error (data's units) and the loss; R2 needs two samples.

        Of several numbers each is measured alone, and the mean over them is taken, as scikit-learn does. A network that
        says something that is not finite has no metrics.
        """
        true = targets.double() * self.std + self.mean
        error = outputs.double() * self.std + self.mean - true
        squared = error.square()
        spread = (true - true.mean(dim=0)).square().sum(dim=0)
        unexplained = squared.sum(dim=1)
        # Where the truth never varies, R2 is 1 for the exact answer and 0 for every other.
        r2 = torch.where(spread != 0, 1.0 - unexplained / spread, (unexplained == 0).double())
        columns = (
            r2.mean(dim=-1) if len(targets) > 1 else torch.full_like(error[:, 0, 0], float("nan")),
            squared.mean(dim=1).sqrt().mean(dim=-1),
            error.abs().mean(dim=1).mean(dim=-1),
            (outputs.double() - targets.double()).square().mean(dim=(1, 2)),
        )
        finite = error.isfinite().all(dim=-1).all(dim=-1)
        return torch.stack(columns, dim=-1).where(finite[:, None], float("nan"))

    def summand(self, outputs: Float[Tensor, "n numbers"]) -> Float[Tensor, "n numbers"]:
        """Return the numbers."""
        return outputs.detach().double()

    def summand_and_losses(
        self, outputs: Float[Tensor, "n numbers"], targets: Float[Tensor, "n numbers"]
    ) -> tuple[Float[Tensor, "n numbers"], Float[Tensor, " n"]]:
        """Return the numbers, and the squared error of each sample in standard deviations squared."""
        numbers = outputs.detach().double()
        return numbers, (numbers - targets.double()).square().mean(dim=-1)

    def from_mean(self, mean: Float[Tensor, "n numbers"]) -> Float[Tensor, "n numbers"]:
        """Return the mean itself."""
        return mean

    def harden(self, teacher: Float[Tensor, "n numbers"]) -> Float[Tensor, "n numbers"]:
        """Return the numbers themselves: they are targets already."""
        return teacher

    def agreement(self, first: Float[Tensor, "n numbers"], second: Float[Tensor, "n numbers"]) -> float:
        """Return 1 minus the mean squared difference, in standard deviations of the target."""
        return float(1.0 - (first.double() - second.double()).square().mean())

    def chance(self, targets: Float[Tensor, "n numbers"]) -> float:
        """Return 0: the R2 of the mean."""
        del targets
        return 0.0

    def died(self, outputs: Float[Tensor, "clients n numbers"]) -> Bool[Tensor, " clients"]:
        """Return whether each network gives every sample the same number, or one that is not finite."""
        finite = outputs.isfinite().all(dim=-1).all(dim=-1)
        if outputs.shape[1] < 2:
            return ~finite
        return ~finite | (outputs.amax(dim=1) - outputs.amin(dim=1) < 1e-6).all(dim=-1)
