"""Ensembles of teachers on one split, built up one teacher after the other: only running sums are held.

>>> ensembles = Ensembles(task, targets)
>>> for outputs, weight in teachers:
...     ensembles.add(outputs, weight)
>>> ensembles.uniform(), ensembles.weighted(), ensembles.oracle()
"""

import math

import torch
from torch import Tensor

from fedkd.tasks import Task


class Ensembles:
    """The uniform, the weighted and the oracle ensemble of the teachers so far.

    Sums are in float64 and in the order in which teachers are added, so equal orders give equal bits.

    Args:
        task: what outputs mean.
        targets: of the split's samples.
    """

    def __init__(self, task: Task, targets: Tensor) -> None:
        self._task, self._targets = task, targets
        self._count, self._weight = 0, 0.0
        self._alike, self._weighted = torch.empty(0), torch.empty(0)
        self._best, self._loss = torch.empty(0), torch.empty(0)

    def __len__(self) -> int:
        """Return how many teachers were taken in."""
        return self._count

    def add(self, outputs: Tensor, weight: float) -> bool:
        """Take in a teacher, and return whether that was possible: what is not finite is left out."""
        summand, losses = self._task.summand_and_losses(outputs, self._targets)
        if not math.isfinite(float(summand.sum())):
            return False
        if self._count:
            better = losses < self._loss
            self._best[better] = outputs[better]
            self._loss[better] = losses[better]
        else:
            self._alike, self._weighted = torch.zeros_like(summand), torch.zeros_like(summand)
            self._best, self._loss = outputs.clone(), losses
        self._count += 1
        self._alike += summand
        if weight:
            self._weight += weight
            self._weighted.add_(summand, alpha=weight)
        return True

    def uniform(self) -> Tensor:
        """Return the outputs of the ensemble in which all count alike."""
        return self._task.from_mean(self._alike / self._count)

    def weighted(self) -> Tensor:
        """Return the outputs of the ensemble in which each counts by its weight; alike if none has any."""
        return self._task.from_mean(self._weighted / self._weight) if self._weight > 0 else self.uniform()

    def oracle(self) -> Tensor:
        """Return for each sample the best of the teachers' outputs."""
        return self._best
