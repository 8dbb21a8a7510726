"""Regression: outputs are numbers in units of the target's standard deviation, targets likewise.

Training sees standardised numbers; metrics are reported in the data's own units.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

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
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"r2"})
    probabilistic: ClassVar[bool] = False

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

    def metrics(
        self, outputs: Float[Tensor, "n numbers"], targets: Float[Tensor, "n numbers"]
    ) -> dict[str, float]:
        """Return R2, root mean squared error, mean absolute error (data's units) and the loss; R2 needs two samples."""
        if not len(targets):
            return dict.fromkeys(("r2", "rmse", "mae", "loss"), float("nan"))
        # A second to import, which workers that only train need not wait for.
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

        said = outputs.double().numpy() * self.std + self.mean
        true = targets.double().numpy() * self.std + self.mean
        if not np.isfinite(said).all():
            return dict.fromkeys(("r2", "rmse", "mae", "loss"), float("nan"))
        return {
            "r2": float(r2_score(true, said)) if len(true) > 1 else float("nan"),
            "rmse": float(root_mean_squared_error(true, said)),
            "mae": float(mean_absolute_error(true, said)),
            "loss": float(self.supervised(outputs.double(), targets.double()).mean()),
        }

    def combine(
        self, outputs: Float[Tensor, "teachers n numbers"], weights: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "n numbers"]:
        """Return the weighted mean of the teachers' numbers."""
        return torch.einsum("k,kno->no", weights, outputs)

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

    def has_died(self, outputs: Float[Tensor, "n numbers"]) -> bool:
        """Return whether every sample gets the same number, or one is not finite."""
        return not bool(outputs.isfinite().all()) or (
            len(outputs) > 1 and float((outputs.amax(0) - outputs.amin(0)).max()) < 1e-6
        )
