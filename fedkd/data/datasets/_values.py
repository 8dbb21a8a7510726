"""What is said of a data set, raw, split and loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fedkd.data.samples import Samples
from fedkd.data.targets import Targets, Task, targets_of

Numbers = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DataInfo:
    """What models, tasks and reports need to know of a loaded data set.

    Args:
        name: name of the data set.
        task: what a target is: a class, a class in each of several classifications, an identity, a number, the next symbols, or the next item.
        views: view name -> shape of one sample.
        num_outputs: number of classes, of symbols, of items, or of numbers that networks say: those to predict, or twice as many where their
            variances are said too; in recognition, the width of an embedding; of several heads, the largest number of classes.
        target_mean: mean of the numbers in the training pool, in their own unit; 0 for anything else.
        target_std: their standard deviation; prediction x std + mean is in the own unit again. 1 for anything else.
        class_names: names of the classes, identities or symbols in the order of their numbers; empty for numbers.
        symbols: view name -> how many symbols there are, for the views that hold int64 symbols from 0.
        prompt: how many symbols of each sequence are given in generation, before what is asked for; 0 asks for every next one.
        identities: number of identities in recognition, those of test data included; 0 elsewhere.
        owners: number of owners of samples (speakers, users); 0 where the data set does not know them.
        target_owner: the owner whose samples the test data is of, as none of the clients' are; none where all owners are alike.
        heads: head name -> names of its classes, where a sample is of a class in each of several classifications; empty elsewhere.
    """

    name: str
    task: Task
    views: Mapping[str, tuple[int, ...]]
    num_outputs: int
    target_mean: float = 0.0
    target_std: float = 1.0
    class_names: tuple[str, ...] = ()
    symbols: Mapping[str, int] = field(default_factory=dict)
    owners: int = 0
    prompt: int = 0
    identities: int = 0
    target_owner: int | None = None
    heads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def num_labels(self) -> int:
        """Number of classes or identities that a target may be."""
        return self.identities or self.num_outputs

    @property
    def targets(self) -> Targets:
        """What targets are."""
        return targets_of(self.task)

    @property
    def target_width(self) -> int:
        """How many numbers a target has, where targets are numbers."""
        return self.num_outputs // self.targets.outputs

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of the target of one sample."""
        if self.targets.numbers:
            return (self.target_width,)
        if self.targets.of_places:
            return next(iter(self.views.values()))
        return (len(self.heads),) if self.targets.of_heads else ()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A data set in memory, split before anything else is done with it."""

    info: DataInfo
    train: Samples
    validation: Samples
    test: Samples


@dataclass(frozen=True, eq=False)
class Raw:
    """A data set as read.

    Args:
        views: view name -> [rows, ...]; images keep their own grey levels, tables their own units.
        targets: [rows] class numbers, or numbers in their own unit; [rows, T] symbols, or [rows, heads] classes, -1 where there is none.
        white: the grey level of white; images and sequences are divided by it.
        owners: [rows] number of the owner of each row, where the set knows it.
        plain: tables stay in their own unit.
    """

    views: Mapping[str, Numbers]
    targets: Numbers
    white: float = 1.0
    owners: Numbers | None = None
    plain: bool = False


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of each part of a split."""

    train: Indices
    validation: Indices
    test: Indices


@dataclass(frozen=True)
class Sizes:
    """How many samples each part of a split has."""

    train: int
    validation: int
    test: int
