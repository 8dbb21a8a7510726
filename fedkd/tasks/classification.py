"""Classification: outputs are class scores, targets are class numbers."""

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from fedkd.losses import kd
from fedkd.tasks.base import Task


class Classification(Task):
    """One of C classes; outputs are logits or log-probabilities."""

    score: ClassVar[str] = "accuracy"
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"accuracy", "macro_f1"})
    probabilistic: ClassVar[bool] = True

    def supervised(
        self, outputs: Float[Tensor, "n classes"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the cross-entropy of each sample in nats."""
        return F.cross_entropy(outputs, targets, reduction="none")

    def natural_divergence(
        self, student: Float[Tensor, "n classes"], teacher: Float[Tensor, "n classes"], temperature: float
    ) -> Float[Tensor, " n"]:
        """Return `T^2 KL(teacher_T || student_T)` of each sample in nats."""
        return kd(student, teacher, temperature=temperature, reduction="none")

    def metrics(self, outputs: Float[Tensor, "n classes"], targets: Int[Tensor, " n"]) -> dict[str, float]:
        """Return accuracy, macro-F1 over the classes present, cross-entropy in nats and the calibration error (15 bins)."""
        if not len(targets):
            return dict.fromkeys(("accuracy", "macro_f1", "loss", "ece"), float("nan"))
        from sklearn.metrics import (
            f1_score,
        )  # a second to import, which workers that only train need not wait for

        predicted = outputs.argmax(dim=-1)
        present = np.unique(targets.numpy())
        return {
            "accuracy": float((predicted == targets).double().mean()),
            "macro_f1": float(
                f1_score(
                    targets.numpy(), predicted.numpy(), labels=present, average="macro", zero_division=0.0
                )
            ),
            "loss": float(F.cross_entropy(outputs.double(), targets)),
            "ece": calibration_error(outputs, targets),
        }

    def combine(
        self, outputs: Float[Tensor, "teachers n classes"], weights: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "n classes"]:
        """Return log of the weighted mean of the teachers' probabilities."""
        return torch.logsumexp(F.log_softmax(outputs, dim=-1) + weights.log()[:, None, None], dim=0)

    def harden(self, teacher: Float[Tensor, "n classes"]) -> Int[Tensor, " n"]:
        """Return the class with the largest score."""
        return teacher.argmax(dim=-1)

    def agreement(self, first: Float[Tensor, "n classes"], second: Float[Tensor, "n classes"]) -> float:
        """Return the share of samples on which two models name the same class."""
        return float((first.argmax(dim=-1) == second.argmax(dim=-1)).double().mean())

    def chance(self, targets: Int[Tensor, " n"]) -> float:
        """Return the share of the most frequent class."""
        return float(torch.bincount(targets).max() / len(targets))

    def has_died(self, outputs: Float[Tensor, "n classes"]) -> bool:
        """Return whether every sample gets the same probabilities, or one is not finite."""
        return _constant(F.softmax(outputs, dim=-1))


def calibration_error(
    outputs: Float[Tensor, "n classes"], targets: Int[Tensor, " n"], *, bins: int = 15
) -> float:
    """Return the expected calibration error: mean |accuracy - confidence| over equal bins of confidence, by their share.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.
    """
    confidence, predicted = F.softmax(outputs.double(), dim=-1).max(dim=-1)
    correct = (predicted == targets).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, correct - confidence)
    return float(gaps.abs().sum() / len(targets))


def _constant(values: Shaped[Tensor, "n outputs"]) -> bool:
    return not bool(values.isfinite().all()) or (
        len(values) > 1 and bool((values.amax(0) - values.amin(0) < 1e-6).all())
    )
