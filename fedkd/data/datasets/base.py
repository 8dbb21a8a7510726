"""What a data set is: facts that are known before anything is loaded, and one method that reads it.

>>> loaded = Digits(samples=500).load(Streams(0))
>>> len(loaded.train), len(loaded.validation), len(loaded.test)
(500, 180, 359)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedkd.data.archive import Archive
from fedkd.data.datasets._values import DataInfo, Indices, Loaded, Numbers, Raw, Sizes, Split
from fedkd.data.samples import Samples
from fedkd.data.targets import Targets, Task, targets_of
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count, OpenFraction
from fedkd.foundation.parts import Part
from fedkd.foundation.seeding import Streams

__all__ = [
    "DataInfo",
    "DataSet",
    "Indices",
    "Loaded",
    "Numbers",
    "Raw",
    "Sizes",
    "Split",
    "Task",
]


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
    "Number of classes, of symbols, or of numbers that networks say; in recognition, the width of an embedding; of several heads, the most classes of any."
    identities: ClassVar[int] = 0
    "Number of identities in recognition, those of test data included; 0 elsewhere."
    rows: ClassVar[int]
    "Number of samples, the authors' test part included."
    test_rows: ClassVar[int] = 0
    "Size of the authors' test part, which comes last; 0 where there is none."
    class_names: ClassVar[tuple[str, ...]] = ()
    "Names of the classes, identities or symbols in the order of their numbers."
    heads: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    "Head name -> names of its classes, where a sample is of a class in each of several classifications; empty elsewhere."
    symbols: ClassVar[Mapping[str, int]] = {}
    "View name -> number of symbols, for views that hold symbols."
    owners: ClassVar[int] = 0
    "Number of owners of samples; 0 where the set does not know them."
    prompt: ClassVar[int] = 0
    "In generation, how many symbols of each sequence are given, before what is asked for; 0 asks for every next one."
    target_owner: ClassVar[int | None] = None
    "The owner whose samples the test data is of, as none of the clients' are; none where all owners are alike."
    split_is_fixed: ClassVar[bool] = False
    "Whether every seed gives the same validation and test part."
    shares_with: ClassVar[frozenset[str]] = frozenset()
    "Names of data sets that hold some of the same samples, which therefore cannot be the proxy set of one another."
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

    def state(self, **facts: object) -> None:
        """Set those of the facts above that depend on options; for `__post_init__`."""
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    @property
    def num_labels(self) -> int:
        """Number of classes or identities that a target may be."""
        return self.identities or self.num_outputs

    @classmethod
    def name(cls) -> str:
        """Return the name of the data set: that of its module."""
        return cls.__module__.rpartition(".")[2]

    @property
    def targets(self) -> Targets:
        """What targets are."""
        return targets_of(self.task)

    @property
    def target_width(self) -> int:
        """How many numbers a target has, where targets are numbers."""
        return self.num_outputs // self.targets.outputs

    @classmethod
    def archives(cls) -> tuple[Archive, ...]:
        """Return all files to fetch: its own, or those of the sets that it is made of."""
        return () if cls.archive is None else (cls.archive,)

    def sizes(self) -> Sizes:
        """Return the size of each split, known before anything is loaded.

        Raises:
            InvalidOption: a share leaves a split empty, or more samples are asked for than there are.
        """
        whole = self.whole()
        if self.samples is not None and self.samples > whole.train:
            raise InvalidOption(
                "data.samples", self.samples, f"at most {whole.train}, the training pool of {self.name()}"
            )
        if self.test_samples is not None and self.test_samples > whole.test:
            raise InvalidOption(
                "data.test_samples",
                self.test_samples,
                f"at most {whole.test}, the test part of {self.name()}",
            )
        return Sizes(self.samples or whole.train, whole.validation, self.test_samples or whole.test)

    def whole(self) -> Sizes:
        """Return the size of each split before `samples` and `test_samples` make any smaller.

        Raises:
            InvalidOption: a share leaves a split empty.
        """
        own = self.rows - self.test_rows
        validation = round(self.validation * own)
        test = self.test_rows or round(self.test * own)
        return self.checked(
            Sizes(own - validation - (0 if self.test_rows else test), validation, test), own, "samples"
        )

    def checked(self, sizes: Sizes, own: int, things: str) -> Sizes:
        """Return these sizes, unless a split of `own` things is empty.

        Raises:
            InvalidOption: it is.
        """
        one = f"a share of {own} {things} that is at least one"
        if sizes.validation < 1:
            raise InvalidOption("data.validation", self.validation, one)
        if sizes.test < 1:
            raise InvalidOption("data.test", self.test, one)
        if sizes.train < 1:
            left = f"a share that, with data.test={self.test}, leaves {things} to train on"
            raise InvalidOption("data.validation", self.validation, left)
        return sizes

    def split(self, raw: Raw, streams: Streams) -> Split:
        """Return the rows of each part in any order, as many as `whole` says; draws from the stream `split`."""
        del raw
        order = streams.numpy("split").permutation(self.rows - self.test_rows)
        if self.test_rows:
            test = np.arange(self.rows - self.test_rows, self.rows)
        else:
            cut = round(self.test * self.rows)
            test, order = order[:cut], order[cut:]
        validation = self.whole().validation
        return Split(order[validation:], order[:validation], test)

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
        split = self.split(raw, streams)
        train = streams.numpy("samples").permutation(split.train)[: sizes.train]
        test = streams.numpy("test_samples").permutation(split.test)[: sizes.test]
        rows = Split(np.sort(train), np.sort(split.validation), np.sort(test))
        return self._standardised(self.fitted(raw, rows.train), rows)

    def fitted(self, raw: Raw, train: Indices) -> Raw:
        """Return the set with what it learns from the rows of the training pool, such as a vocabulary."""
        del train
        return raw

    def _standardised(self, raw: Raw, rows: Split) -> Loaded:
        scales = {
            name: _scale(view, rows.train, raw)
            for name, view in raw.views.items()
            if name not in self.symbols
        }
        mean, std = 0.0, 1.0
        if self.targets.numbers:
            known = raw.targets[rows.train].astype(np.float64)
            mean, std = float(known.mean()), float(known.std()) or 1.0

        def part(at: Indices) -> Samples:
            if self.targets.numbers:
                targets = torch.from_numpy((raw.targets[at] - mean) / std).float().unsqueeze(1)
            else:
                targets = torch.from_numpy(raw.targets[at].astype(np.int64))
            inputs = {
                name: _scaled(view[at], *scales[name])
                if name in scales
                else torch.from_numpy(view[at].astype(np.int64))
                for name, view in raw.views.items()
            }
            owners = None if raw.owners is None else torch.from_numpy(raw.owners[at].astype(np.int64))
            return Samples(inputs, targets, torch.from_numpy(at.astype(np.int64)), owners)

        info = DataInfo(
            self.name(),
            self.task,
            dict(self.views),
            self.num_outputs,
            mean,
            std,
            self.class_names,
            dict(self.symbols),
            self.owners,
            identities=self.identities,
            prompt=self.prompt,
            target_owner=self.target_owner,
            heads=dict(self.heads),
        )
        return Loaded(info, part(rows.train), part(rows.validation), part(rows.test))


def _scale(view: Numbers, train: Indices, raw: Raw) -> tuple[Numbers, Numbers]:
    if view.ndim > 2:  # images keep their black at 0
        return np.array(0.0), np.array(raw.white)
    if raw.plain:
        return np.array(0.0), np.array(1.0)
    known = view[train].astype(np.float64)
    std = known.std(axis=0)
    return known.mean(axis=0), np.where(std > 0, std, 1.0)


def _scaled(view: Numbers, shift: Numbers, scale: Numbers) -> Tensor:
    if scale.ndim == 0:  # in place: a large set of images is not held twice in double precision
        return torch.from_numpy(view).float().div_(float(scale))
    return torch.from_numpy((view.astype(np.float64) - shift) / scale).float()
