"""What a data set is: facts that are known before anything is loaded, and one method that reads it.

>>> loaded = Digits(samples=500).load(Streams(0))
>>> len(loaded.train), len(loaded.validation), len(loaded.test)
(500, 180, 359)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedkd.data.archive import Archive
from fedkd.data.samples import Samples
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count, OpenFraction
from fedkd.foundation.parts import Part
from fedkd.foundation.seeding import Streams

Task = Literal["classification", "regression"]
Numbers = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DataInfo:
    """What models, tasks and reports need to know of a loaded data set.

    Args:
        name: name of the data set.
        task: what a target is: a class, or a number.
        views: view name -> shape of one sample.
        num_outputs: number of classes, or of numbers to predict.
        target_mean: mean of the numbers in the training pool, in their own unit; 0 for classes.
        target_std: their standard deviation; prediction x std + mean is in the own unit again. 1 for classes.
        class_names: names of the classes in the order of their numbers; empty for numbers.
    """

    name: str
    task: Task
    views: Mapping[str, tuple[int, ...]]
    num_outputs: int
    target_mean: float = 0.0
    target_std: float = 1.0
    class_names: tuple[str, ...] = ()


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
        targets: [rows] class numbers, or numbers in their own unit.
        white: the grey level of white; images are divided by it.
    """

    views: Mapping[str, Numbers]
    targets: Numbers
    white: float = 1.0


@dataclass(frozen=True)
class Sizes:
    """How many samples each part of a split has."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class DataSet(Part, ABC):
    """Base of data sets: a subclass states the facts below and reads the raw arrays; splitting is done here.

    Each row keeps its number in the whole set as its id. The split depends on the seed and the two shares only, and
    a smaller `samples` is a part of a larger one, so that studies of size compare like with like. Tables and numeric
    targets are standardised with the mean and deviation of the training pool alone.
    """

    validation: OpenFraction = 0.1
    "Share of the samples kept for choosing: rounds, options, early stops."
    test: OpenFraction = 0.2
    "Share of the samples kept for reporting. Sets that come with a test part of their authors use that, and this is ignored."
    samples: Count | None = None
    "Size of the training pool, drawn from the whole one; empty takes all. For quick studies."
    test_samples: Count | None = None
    "Size of the test part, drawn from the whole one; empty takes all."

    task: ClassVar[Task]
    "What a target is."
    views: ClassVar[Mapping[str, tuple[int, ...]]]
    "View name -> shape of one sample."
    num_outputs: ClassVar[int]
    "Number of classes, or of numbers to predict."
    rows: ClassVar[int]
    "Number of samples, the authors' test part included."
    test_rows: ClassVar[int] = 0
    "Size of the authors' test part, which comes last; 0 where there is none."
    class_names: ClassVar[tuple[str, ...]] = ()
    "Names of the classes in the order of their numbers."
    origin: ClassVar[str]
    "Where the set comes from, for people."
    size: ClassVar[str]
    "Samples and shape, for people."
    licence: ClassVar[str]
    "Licence as its authors state it."
    archive: ClassVar[Archive | None] = None
    "Files to fetch; none where the set comes with an installed package."

    @abstractmethod
    def read(self) -> Raw:
        """Return the whole set, rows in a fixed order.

        Raises:
            DataUnavailable: the set is not on this machine and no source delivers it.
        """

    @classmethod
    def name(cls) -> str:
        """Return the name of the data set: that of its module."""
        return cls.__module__.rpartition(".")[2]

    def sizes(self) -> Sizes:
        """Return the size of each split, known before anything is loaded.

        Raises:
            InvalidOption: a share leaves a split empty, or more samples are asked for than there are.
        """
        own = self.rows - self.test_rows
        validation = round(self.validation * own)
        test = self.test_rows or round(self.test * own)
        train = own - validation - (0 if self.test_rows else test)
        if validation < 1:
            raise InvalidOption(
                "data.validation", self.validation, f"a share of {own} samples that is at least one sample"
            )
        if test < 1:
            raise InvalidOption(
                "data.test", self.test, f"a share of {own} samples that is at least one sample"
            )
        if train < 1:
            raise InvalidOption(
                "data.validation",
                self.validation,
                f"a share that, with data.test={self.test}, leaves samples to train on",
            )
        if self.samples is not None and self.samples > train:
            raise InvalidOption(
                "data.samples", self.samples, f"at most {train}, the training pool of {self.name()}"
            )
        if self.test_samples is not None and self.test_samples > test:
            raise InvalidOption(
                "data.test_samples", self.test_samples, f"at most {test}, the test part of {self.name()}"
            )
        return Sizes(self.samples or train, validation, self.test_samples or test)

    def load(self, streams: Streams) -> Loaded:
        """Read, split and standardise the set; draws from the streams `split`, `samples` and `test_samples`.

        Raises:
            DataUnavailable: the set is not on this machine and no source delivers it.
            InvalidOption: see `sizes`.
        """
        sizes = self.sizes()
        raw = self.read()
        if len(raw.targets) != self.rows:
            raise ValueError(
                f"{type(self).__name__}.read() gave {len(raw.targets)} rows, the class states {self.rows}"
            )
        order = streams.numpy("split").permutation(self.rows - self.test_rows)
        if self.test_rows:
            test = np.arange(self.rows - self.test_rows, self.rows)
        else:
            cut = round(self.test * self.rows)
            test, order = order[:cut], order[cut:]
        validation, train = order[: sizes.validation], order[sizes.validation :]
        train = streams.numpy("samples").permutation(train)[: sizes.train]
        test = streams.numpy("test_samples").permutation(test)[: sizes.test]
        return self._standardised(raw, np.sort(train), np.sort(validation), np.sort(test))

    def _standardised(self, raw: Raw, train: Indices, validation: Indices, test: Indices) -> Loaded:
        scales = {name: _scale(view, train, raw.white) for name, view in raw.views.items()}
        mean, std = 0.0, 1.0
        if self.task == "regression":
            known = raw.targets[train].astype(np.float64)
            mean, std = float(known.mean()), float(known.std()) or 1.0

        def part(rows: Indices) -> Samples:
            if self.task == "regression":
                targets = torch.from_numpy((raw.targets[rows] - mean) / std).float().unsqueeze(1)
            else:
                targets = torch.from_numpy(raw.targets[rows].astype(np.int64))
            inputs = {name: _scaled(view[rows], *scales[name]) for name, view in raw.views.items()}
            return Samples(inputs, targets, torch.from_numpy(rows.astype(np.int64)))

        info = DataInfo(
            self.name(), self.task, dict(self.views), self.num_outputs, mean, std, self.class_names
        )
        return Loaded(info, part(train), part(validation), part(test))


def _scale(view: Numbers, train: Indices, white: float) -> tuple[Numbers, Numbers]:
    if view.ndim > 2:  # images keep their black at 0
        return np.array(0.0), np.array(white)
    known = view[train].astype(np.float64)
    std = known.std(axis=0)
    return known.mean(axis=0), np.where(std > 0, std, 1.0)


def _scaled(view: Numbers, shift: Numbers, scale: Numbers) -> Tensor:
    if view.ndim > 2:  # in place: a large set of images is not held twice in double precision
        return torch.from_numpy(view).float().div_(float(scale))
    return torch.from_numpy((view.astype(np.float64) - shift) / scale).float()
