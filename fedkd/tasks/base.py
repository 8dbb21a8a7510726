"""What a task must say: its losses, its metrics, and what it means to combine, harden and compare outputs."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from fedkd.losses import mae, mse

Divergence = Literal["task", "mae", "mse"]
"""How a student is compared with a teacher: the task's own way, or the error of the raw outputs."""


class Task(ABC):
    """Losses and metrics of one kind of output. Outputs are what a network returns as `logits`, [samples, outputs]."""

    score: ClassVar[str]
    """Name of the metric that says best how good a model is; larger is better."""

    larger_is_better: ClassVar[frozenset[str]]
    """Names of the metrics that grow with quality; the others are errors."""

    probabilistic: ClassVar[bool]
    """Whether an output is a distribution over classes, so that probabilities and labels can be shared."""

    @abstractmethod
    def supervised(
        self, outputs: Float[Tensor, "n outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the loss of each sample against its true target."""

    @abstractmethod
    def natural_divergence(
        self, student: Float[Tensor, "n outputs"], teacher: Float[Tensor, "n outputs"], temperature: float
    ) -> Float[Tensor, " n"]:
        """Return how far each student output is from the teacher's, in the task's own measure."""

    @abstractmethod
    def metrics(
        self, outputs: Float[Tensor, "n outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> dict[str, float]:
        """Return every metric of the task; an empty set gives NaN for each."""

    @abstractmethod
    def combine(
        self, outputs: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the outputs of a weighted ensemble of teachers; the weights sum to 1."""

    @abstractmethod
    def harden(self, teacher: Float[Tensor, "n outputs"]) -> Shaped[Tensor, "n ..."]:
        """Return the targets that a teacher would name: pseudo-labels."""

    @abstractmethod
    def agreement(self, first: Float[Tensor, "n outputs"], second: Float[Tensor, "n outputs"]) -> float:
        """Return how often (or how much) two models say the same, at most 1."""

    @abstractmethod
    def chance(self, targets: Shaped[Tensor, "n ..."]) -> float:
        """Return the score of the best model that does not look at its input."""

    @abstractmethod
    def has_died(self, outputs: Float[Tensor, "n outputs"]) -> bool:
        """Return whether a network says the same whatever it sees, or nothing finite."""

    def divergence(
        self,
        student: Float[Tensor, "n outputs"],
        teacher: Float[Tensor, "n outputs"],
        *,
        measure: Divergence = "task",
        temperature: float = 1.0,
    ) -> Float[Tensor, " n"]:
        """Return how far each student output is from the teacher's, in the measure that the recipe names."""
        match measure:
            case "task":
                return self.natural_divergence(student, teacher, temperature)
            case "mae":
                return mae(student, teacher, reduction="none")
            case "mse":
                return mse(student, teacher, reduction="none")

    def oracle(
        self,
        best: Float[Tensor, "n outputs"],
        best_loss: Float[Tensor, " n"],
        outputs: Float[Tensor, "n outputs"],
        targets: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Update, sample by sample, the best answer that any teacher gave so far and its loss."""
        loss = self.supervised(outputs, targets)
        better = loss < best_loss
        return torch.where(better[:, None], outputs, best), torch.where(better, loss, best_loss)
