"""The distiller: trains a student on what the teachers together say of the proxy set. There is no other such loop.

>>> Distiller(temperature=3.0).distil(student, proxy.inputs, fused, task=Classification(), generator=g, validate=None)
Taught(loss=0.02, epochs=5, best_score=None)
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.aggregation.fusions.base import Relations
from fedkd.foundation.options import Count, Positive
from fedkd.foundation.parts import Part
from fedkd.models.base import Outputs, run_network
from fedkd.tasks import Divergence, Task
from fedkd.training import Fit, fit


@dataclass(frozen=True)
class Taught:
    """How a distillation went.

    Args:
        loss: mean loss over the last pass.
        epochs: passes that were made.
        best_score: the score on validation data of the weights that were kept; none without early stopping.
    """

    loss: float
    epochs: int
    best_score: float | None


@dataclass(frozen=True, kw_only=True)
class Distiller(Part):
    """Trains the student to say what the fused teachers say."""

    fit: Fit = field(default_factory=lambda: Fit(epochs=5))
    """How long and with what the student is trained in each round."""

    temperature: Positive = 1.0
    """Softens teacher and student alike; the loss is multiplied by its square."""

    divergence: Divergence = "task"
    """What is minimised: the task's own (KL for classes, squared error for numbers), `mae` or `mse` of the raw outputs."""

    hard: bool = False
    """Learn the label that the teachers name (pseudo-labels) in place of their soft answer: the control of every claim."""

    patience: Count | None = None
    """Stop after so many passes without a better validation score, and keep the best weights; none trains to the end."""

    def distil(
        self,
        student: nn.Module,
        inputs: Mapping[str, Tensor],
        teacher: Float[Tensor, "n outputs"],
        *,
        task: Task,
        generator: torch.Generator,
        validate: Callable[[nn.Module], float] | None = None,
        relations: Relations | None = None,
    ) -> Taught:
        """Train the student in place.

        Args:
            student: trained in place.
            inputs: views of the proxy samples, each [n, ...].
            teacher: what the teachers say about each sample, as scores in log space (numbers in a regression).
            task: says how answers are compared.
            generator: draws the order of the samples.
            validate: score of a network on validation data, larger is better; needed for `patience`.
            relations: which samples are alike, for fusions that say so; the student's features are held to it.
        """
        pseudo_labels = task.harden(teacher)

        def look_at(rows: Tensor) -> Outputs:
            return run_network(student, {view: x[rows] for view, x in inputs.items()})

        def of_samples(outputs: Tensor, rows: Tensor) -> Tensor:
            if self.hard:
                return task.supervised(outputs, pseudo_labels[rows]).mean()
            return task.divergence(
                outputs, teacher[rows], measure=self.divergence, temperature=self.temperature
            ).mean()

        def loss(rows: Tensor) -> Tensor:
            seen = look_at(rows)
            if relations is None:
                return of_samples(seen.logits, rows)
            near, far = look_at(relations.nearer[rows]).features, look_at(relations.farther[rows]).features
            apart = triplet(seen.features, near, far, margin=relations.margin)
            return of_samples(seen.logits, rows) + relations.weight * apart

        watch = _EarlyStop(self.patience, student, validate)
        last = fit(student, loss, size=len(teacher), plan=self.fit, generator=generator, after_epoch=watch)
        watch.restore()
        return Taught(last, watch.epochs, watch.best_score)


def triplet(
    anchor: Float[Tensor, "n features"],
    near: Float[Tensor, "n features"],
    far: Float[Tensor, "n features"],
    *,
    margin: float,
) -> Float[Tensor, ""]:
    """Return the mean of `max(0, |a - near|^2 - |a - far|^2 + margin)`, which is 0 where the order is kept."""
    distances = [(anchor - other).square().sum(dim=-1) for other in (near, far)]
    return (distances[0] - distances[1] + margin).clamp_min(0.0).mean()


class _EarlyStop:
    """Keeps the weights that are best on validation data, and says when to stop."""

    def __init__(
        self, patience: int | None, student: nn.Module, validate: Callable[[nn.Module], float] | None
    ) -> None:
        self._patience, self._student, self._validate = patience, student, validate
        self._best_weights: dict[str, Tensor] | None = None
        self._waited = 0
        self.epochs = 0
        self.best_score: float | None = None

    def __call__(self, epoch: int) -> bool:
        self.epochs = epoch
        if self._patience is None or self._validate is None:
            return False
        score = self._validate(self._student)
        if self.best_score is None or math.isnan(self.best_score) or score > self.best_score:
            self.best_score, self._waited = score, 0
            self._best_weights = copy.deepcopy(self._student.state_dict())
            return False
        self._waited += 1
        return self._waited >= self._patience

    def restore(self) -> None:
        """Give the student its best weights back."""
        if self._best_weights is not None:
            self._student.load_state_dict(self._best_weights)
