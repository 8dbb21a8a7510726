"""Handwritten digits of several origins as one set: what is learned on some of them is judged on another one (domain adaptation).

Made of the data sets mnist_10k, digits and mfeat (see there), each a domain whose images are brought to 16 x 16 pixels with black at 0.
Of mnist_10k every other digit is shown in negative, as a domain of its own, so that no two domains have a digit in common.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch.nn import functional as F

from fedkd.data.archive import Archive
from fedkd.data.datasets.base import DataSet, Numbers, Raw, Sizes, Split, Task
from fedkd.data.datasets.digits import Digits
from fedkd.data.datasets.mfeat import Mfeat
from fedkd.data.datasets.mnist_10k import Mnist10k
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.foundation.seeding import Streams

Domain = Literal["mnist", "negative", "digits", "mfeat"]

_ROWS: dict[Domain, int] = {
    "mnist": Mnist10k.rows // 2,
    "negative": Mnist10k.rows // 2,
    "digits": Digits.rows,
    "mfeat": Mfeat.rows,
}
_SIDE = 16


@dataclass(frozen=True, kw_only=True)
class DigitDomains(DataSet):
    """Digits of MNIST, MNIST in negative, scikit-learn and the Dutch maps of mfeat: training and validation data are of the source domains, test data is of the target.

    The training pool also holds samples of the target, for `proxy=heldout proxy.target=true`; the owner of a sample is its domain, the
    sources first, the target last. Validation data is of the sources, since of a target without labels there is none to choose by.
    """

    target: Domain = "digits"
    "The domain that a student is to serve: mnist, negative, digits or mfeat."
    sources: tuple[Domain, ...] = ("mnist", "negative", "mfeat")
    "The domains that teachers know; `partition=natural partition.drawn=false` makes a client of each, in this order."
    per_source: Count = 1500
    "Samples of each source, its share of the validation data included, drawn from all that it has."

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"image": (1, _SIDE, _SIDE)}
    num_outputs = 10
    rows = sum(_ROWS.values())
    class_names = tuple("0123456789")
    shares_with = frozenset({"mnist_10k", "digits", "mfeat", "keel"})
    origin = "the data sets mnist_10k, digits and mfeat"
    size = "13,797 x 16 x 16, 10 classes, 4 domains"
    licence = "those of its parts"

    def __post_init__(self) -> None:
        """Refuse a target among its sources, and a source that is named twice; state what depends on the domains."""
        if not self.sources or self.target in self.sources or len(set(self.sources)) < len(self.sources):
            raise InvalidOption(
                "data.sources",
                list(self.sources),
                f"one or more different domains other than data.target={self.target}",
            )
        domains = (*self.sources, self.target)
        self.state(
            owners=len(domains), target_owner=len(domains) - 1, rows=sum(_ROWS[domain] for domain in domains)
        )

    @classmethod
    def archives(cls) -> tuple[Archive, ...]:
        """Return those of the sets that it is made of."""
        return tuple(archive for part in (Mnist10k, Digits, Mfeat) for archive in part.archives())

    def whole(self) -> Sizes:
        """Return the size of each split."""
        taken = [min(self.per_source, _ROWS[source]) for source in self.sources]
        validation = [round(self.validation * own) for own in taken]
        test = round(self.test * _ROWS[self.target])
        pool = sum(taken) - sum(validation) + _ROWS[self.target] - test
        return self.checked(Sizes(pool, sum(validation), test), min(*taken, _ROWS[self.target]), "samples")

    def split(self, raw: Raw, streams: Streams) -> Split:
        """Return the rows of each part: of each source a share for validation, of the target one for the test."""
        assert raw.owners is not None
        order = streams.numpy("split").permutation(len(raw.owners))
        train, validation = [], []
        for number, source in enumerate(self.sources):
            own = order[raw.owners[order] == number][: self.per_source]
            cut = round(self.validation * min(self.per_source, _ROWS[source]))
            validation.append(own[:cut])
            train.append(own[cut:])
        own = order[raw.owners[order] == self.target_owner]
        cut = round(self.test * _ROWS[self.target])
        return Split(np.concatenate([*train, own[cut:]]), np.concatenate(validation), own[:cut])

    def read(self) -> Raw:
        """Return the digits domain by domain."""
        parts = [_READ[domain]() for domain in (*self.sources, self.target)]
        return Raw(
            {"image": np.concatenate([images for images, _ in parts])},
            np.concatenate([classes for _, classes in parts]),
            owners=np.repeat(np.arange(len(parts)), [len(classes) for _, classes in parts]),
        )


def _resized(images: Numbers, white: float) -> Numbers:
    """Return images [n, 1, height, width] as float32 of the common size, from 0 to 1."""
    shares = torch.from_numpy(images.astype(np.float32) / white)
    resized = F.interpolate(shares, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
    return resized.clamp(0, 1).numpy()


def _mnist(first: int) -> tuple[Numbers, Numbers]:
    """Return every other digit, the middle 20 x 20 pixels: the box into which MNIST's authors fitted each, as the other sets have them."""
    raw = Mnist10k().read()
    boxes = raw.views["image"][first::2, :, 4:24, 4:24]
    return _resized(boxes, raw.white), raw.targets[first::2].astype(np.int64)


def _negative() -> tuple[Numbers, Numbers]:
    images, classes = _mnist(1)
    return 1.0 - images, classes


def _digits() -> tuple[Numbers, Numbers]:
    raw = Digits().read()
    return _resized(raw.views["image"], raw.white), raw.targets.astype(np.int64)


def _mfeat() -> tuple[Numbers, Numbers]:
    """Return the pixel view: means of 2 x 3 pixels in 16 rows of 15, from 0 to 6."""
    raw = Mfeat().read()
    return _resized(raw.views["pixels"].reshape(-1, 1, 16, 15), 6.0), raw.targets.astype(np.int64)


_READ: dict[Domain, Callable[[], tuple[Numbers, Numbers]]] = {
    "mnist": lambda: _mnist(0),
    "negative": _negative,
    "digits": _digits,
    "mfeat": _mfeat,
}
