"""Synthetic images that are quick to make: ten blurred classes of 8 x 8 pixels, named from a config as `data=simulations.bench.data:Patches`.

>>> loaded = Patches(samples=320).load(Streams(0))
>>> loaded.train.inputs["image"].shape
torch.Size([320, 1, 8, 8])
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedkd.data.datasets.base import DataSet, Raw, Task

POOL, TEST = 320_000, 64


@dataclass(frozen=True, kw_only=True)
class Patches(DataSet):
    """Ten random patches under noise; the pool is large enough for 1,000 clients with 320 samples."""

    validation: float = TEST / (POOL + TEST)
    "A share that leaves 320,000 samples to train on: little is evaluated, since only training is timed."

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"image": (1, 8, 8)}
    num_outputs = 10
    rows = POOL + 2 * TEST
    test_rows = TEST
    class_names = tuple("0123456789")
    origin = "drawn when it is read"
    size = "320,000 x 8 x 8, 10 classes"
    licence = "none needed"

    def read(self) -> Raw:
        """Draw the whole set, the same each time."""
        generator = np.random.default_rng(0)
        centres = generator.random((10, 1, 8, 8), dtype=np.float32)
        targets = generator.integers(10, size=self.rows)
        images = centres[targets]
        images += generator.random(images.shape, dtype=np.float32)
        images /= 2
        return Raw({"image": images}, targets)
