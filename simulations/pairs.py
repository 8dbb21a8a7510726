"""A real data set with a hundred classes: two MNIST digits side by side, the label is the number from 00 to 99.

Used by name from a recipe: `data=simulations.pairs:Pairs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedkd.data.datasets.base import DataSet, Raw
from fedkd.data.datasets.mnist_10k import Mnist10k

DIGITS, ROWS = 10_000, 5_000


@dataclass(frozen=True, kw_only=True)
class Pairs(DataSet):
    """The 10,000 MNIST digits in 5,000 pairs, 14 x 28 pixels; each digit is in one pair, so that splits share none."""

    task: ClassVar[Literal["classification", "regression"]] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"image": (1, 14, 28)}
    num_outputs: ClassVar[int] = 100
    rows: ClassVar[int] = ROWS
    class_names: ClassVar[tuple[str, ...]] = tuple(f"{number:02d}" for number in range(100))
    origin: ClassVar[str] = "made of mnist_10k"
    size: ClassVar[str] = "5,000 x 14 x 28, 100 classes"
    licence: ClassVar[str] = "MIT"

    def read(self) -> Raw:
        """Return the pairs; which digits meet is fixed, so that ids are stable."""
        raw = Mnist10k().read()
        images = raw.views["image"].reshape(DIGITS, 14, 2, 14, 2).astype(np.float32).mean(axis=(2, 4))
        left, right = np.random.Generator(np.random.PCG64(0)).permutation(DIGITS).reshape(2, ROWS)
        both = np.concatenate([images[left], images[right]], axis=2)[:, None]
        return Raw({"image": both}, raw.targets[left] * 10 + raw.targets[right], white=raw.white)
