"""Sets of numbers to predict: what networks say of a number, and what is wrong with the numbers that they learn."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch

from fedkd.data.datasets.base import DataSet, Loaded, Task
from fedkd.foundation.options import NonNegative, Share
from fedkd.foundation.seeding import Streams

FAR = 5.0
"""How far off a gross error is, in standard deviations of the numbers."""


@dataclass(frozen=True, kw_only=True)
class NumberSet(DataSet):
    """Base of sets whose target is one number."""

    predicts: Literal["number", "gaussian"] = "number"
    "What networks say: the number, or a normal distribution of it (mean and log variance), which is learned by its likelihood."
    label_noise: NonNegative = 0.0
    "Standard deviation of normal noise on the numbers of the training pool, in units of theirs; the proxy set is of the pool, validation and test stay clean."
    outliers: Share = 0.0
    "Share of the numbers of the training pool that are five standard deviations too large or too small."

    task: ClassVar[Task] = "regression"
    num_outputs = 1

    def __post_init__(self) -> None:
        """Ask for two outputs where a variance is said too."""
        if self.predicts == "gaussian":
            self.state(task="gaussian_regression", num_outputs=2)

    def load(self, streams: Streams) -> Loaded:
        """Read, split and standardise the set, then spoil the training pool; draws from the stream `label_noise` besides.

        What is done to a sample does not depend on the size of the pool; more noise is a multiple of less, and few gross errors are a
        part of many.
        """
        loaded = super().load(streams)
        if not self.label_noise and not self.outliers:
            return loaded
        generator = streams.numpy("label_noise")
        noise = self.label_noise * generator.standard_normal(self.rows)
        far = FAR * generator.choice([-1.0, 1.0], size=self.rows)
        noise += far * (generator.random(self.rows) < self.outliers)
        train = loaded.train
        targets = train.targets + torch.from_numpy(noise[train.ids.numpy(), None]).to(train.targets)
        return replace(loaded, train=replace(train, targets=targets))
