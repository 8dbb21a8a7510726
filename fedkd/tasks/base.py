"""What a task must say: its losses, its metrics, and what it means to combine, harden and compare outputs.

>>> task.metrics(outputs, targets)["accuracy"]
0.93
>>> [measured["accuracy"] for measured in task.metrics_of_many(torch.stack([outputs, others]), targets)]
[0.93, 0.88]
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.losses import cosine, mae, mse

Divergence = Literal["task", "mae", "mse", "cosine"]
"""How a student is compared with a teacher: the task's own way, the error of the raw outputs, or one minus their cosine."""

DEAD = "dead"
"""Name under which `Task.measure` says whether a network has died: 1 if so, else 0."""

_AT_ONCE = 2**19
"""Numbers that are measured at once: temporaries of 4 MB in float64. Larger ones leave the cache, and take twice as long."""


class Task(ABC):
    """Losses and metrics of one kind of output. Outputs are what a network returns as `logits`, [samples, outputs].

    A task may have several answers a sample, one for each place of a text or each head of a network: [samples, places, outputs]. What works on single
    answers (divergences, fusions, codecs, terms on responses) sees them one below the other, as `rows` lays them.
    """

    score: ClassVar[str]
    """Name of the metric that says best how good a model is; larger is better."""

    probabilistic: ClassVar[bool]
    """Whether an output is a distribution over its last axis, so that probabilities can be shared and named."""

    continues: ClassVar[bool] = False
    """Whether a sample is a sequence whose targets are the symbols that follow, so that a network can go on from its beginning."""

    prompt: int = 0
    """How many symbols of each sample are given, where samples are sequences that go on."""

    embeds: ClassVar[bool] = False
    """Whether an output is an embedding, which is known but for a rotation that all samples share."""

    samplewise: ClassVar[bool] = True
    """Whether loss and divergence of a sample are its own; no where samples of a batch are compared with each other."""

    gaussian: ClassVar[bool] = False
    """Whether an output is a normal distribution of each number: all means, then all log variances."""

    pads: ClassVar[bool] = False
    """Whether some of an answer's scores stand for classes that it does not have, far below the others."""

    @property
    @abstractmethod
    def metric_names(self) -> tuple[str, ...]:
        """Names of all metrics, in the order in which they are reported."""

    @property
    @abstractmethod
    def larger_is_better(self) -> frozenset[str]:
        """Names of the metrics that grow with quality; the others are errors."""

    @classmethod
    def of(cls, data: DataInfo) -> "Task":
        """Return the task of a data set that is loaded; by default there is nothing to know of it."""
        del data
        return cls()

    @classmethod
    def unloaded(cls, data: DataSet) -> "Task":
        """Return the task of a data set before it is loaded, to try shapes with; by default there is nothing to know of it."""
        del data
        return cls()

    @classmethod
    def answer(cls, data: DataInfo | DataSet) -> tuple[int, ...]:
        """Return the shape of what a network says of one sample: a vector, by default."""
        return (data.num_outputs,)

    def rows(self, said: Shaped[Tensor, "n ..."]) -> Shaped[Tensor, "rows ..."]:
        """Return outputs or targets one answer below the other, those that count; by default a sample is one answer."""
        return said

    def of_samples(self, values: Float[Tensor, " rows"], count: int) -> Float[Tensor, " n"]:
        """Return for so many samples the mean of the values of their rows."""
        del count
        return values

    @abstractmethod
    def supervised(
        self, outputs: Float[Tensor, "n ... outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the loss of each sample against its true target."""

    @abstractmethod
    def natural_divergence(
        self,
        student: Float[Tensor, "rows outputs"],
        teacher: Float[Tensor, "rows outputs"],
        temperature: float,
    ) -> Float[Tensor, " rows"]:
        """Return how far each row of the student is from the teacher's, in the task's own measure."""

    @abstractmethod
    def measured(
        self, outputs: Float[Tensor, "clients n ... outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> Float[Tensor, "clients metrics"]:
        """Return every metric of some networks on the same samples, at least one, in the order of `metric_names`."""

    @abstractmethod
    def died(self, outputs: Float[Tensor, "clients n ... outputs"]) -> Bool[Tensor, " clients"]:
        """Return for some networks whether each says the same whatever it sees, or something that is not finite."""

    @abstractmethod
    def summand(self, outputs: Float[Tensor, "n ... outputs"]) -> Float[Tensor, "n ... outputs"]:
        """Return what is averaged when teachers are combined, in float64."""

    @abstractmethod
    def from_mean(self, mean: Float[Tensor, "n ... outputs"]) -> Float[Tensor, "n ... outputs"]:
        """Return the outputs of an ensemble from the weighted mean of its teachers' summands."""

    @abstractmethod
    def summand_and_losses(
        self, outputs: Float[Tensor, "n ... outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n ... outputs"], Float[Tensor, " n"]]:
        """Return a teacher's summand, and each sample's supervised loss in float64 without a gradient."""

    @abstractmethod
    def harden(self, teacher: Float[Tensor, "n ... outputs"]) -> Shaped[Tensor, "n ..."]:
        """Return the targets that a teacher would name: pseudo-labels."""

    @abstractmethod
    def agreement(
        self, first: Float[Tensor, "n ... outputs"], second: Float[Tensor, "n ... outputs"]
    ) -> float:
        """Return how often (or how much) two models say the same, at most 1."""

    @abstractmethod
    def chance(self, targets: Shaped[Tensor, "n ..."]) -> float:
        """Return the score of the best model that does not look at its input."""

    def metrics(
        self, outputs: Float[Tensor, "n ... outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> dict[str, float]:
        """Return every metric of the task; an empty set gives NaN for each."""
        return self.metrics_of_many(outputs[None], targets)[0]

    def metrics_of_many(
        self, outputs: Float[Tensor, "clients n ... outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> list[dict[str, float]]:
        """Return the metrics of each of many networks on the same samples."""
        if not len(targets):
            return [dict.fromkeys(self.metric_names, float("nan")) for _ in outputs]
        return [
            dict(zip(self.metric_names, values, strict=True))
            for some in _parts(outputs)
            for values in self.measured(some, targets).tolist()
        ]

    def measure(
        self, outputs: Float[Tensor, "clients n ... outputs"], targets: Shaped[Tensor, "n ..."]
    ) -> list[dict[str, float]]:
        """Return what a client says about itself on a split: its metrics, and under `DEAD` whether it has died."""
        died = [bool(dead) for some in _parts(outputs) for dead in self.died(some)]
        return [
            {**values, DEAD: float(dead)}
            for values, dead in zip(self.metrics_of_many(outputs, targets), died, strict=True)
        ]

    def has_died(self, outputs: Float[Tensor, "n ... outputs"]) -> bool:
        """Return whether a network says the same whatever it sees, or something that is not finite."""
        return bool(self.died(outputs[None])[0])

    def combine(
        self, outputs: Float[Tensor, "teachers n ... outputs"], weights: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "n ... outputs"]:
        """Return the outputs of a weighted ensemble of teachers; the weights sum to 1."""
        mean = torch.zeros(outputs.shape[1:], dtype=torch.float64)
        for teacher, weight in zip(outputs, weights.tolist(), strict=True):
            mean.add_(self.summand(teacher), alpha=weight)
        return self.from_mean(mean).to(outputs.dtype)

    def divergence(
        self,
        student: Float[Tensor, "n ... outputs"],
        teacher: Float[Tensor, "n ... outputs"],
        *,
        measure: Divergence = "task",
        temperature: float = 1.0,
    ) -> Float[Tensor, " n"]:
        """Return how far each student output is from the teacher's, in the measure that the recipe names."""
        mine, theirs = self.rows(student), self.rows(teacher)
        match measure:
            case "task":
                values = self.natural_divergence(mine, theirs, temperature)
            case "mae":
                values = mae(mine, theirs, reduction="none")
            case "mse":
                values = mse(mine, theirs, reduction="none")
            case "cosine":
                values = cosine(mine, theirs, reduction="none")
        return self.of_samples(values, len(student))


def _parts(outputs: Float[Tensor, "clients n ... outputs"]) -> Iterator[Float[Tensor, "some n ... outputs"]]:
    together = max(_AT_ONCE // max(outputs.shape[1:].numel(), 1), 1)
    for start in range(0, len(outputs), together):
        yield outputs[start : start + together]
