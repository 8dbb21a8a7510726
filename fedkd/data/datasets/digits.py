"""Handwritten digits of 8 x 8 pixels, embedded in scikit-learn.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
(https://doi.org/10.24432/C50P49); these are the 1,797 digits of its test part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.embedded import embedded


@dataclass(frozen=True, kw_only=True)
class Digits(DataSet):
    """Handwritten digits, 1,797 of 8 x 8 pixels in 17 grey levels; nothing to fetch."""

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"image": (1, 8, 8)}
    num_outputs = 10
    rows = 1797
    class_names = tuple("0123456789")
    origin = "embedded in scikit-learn"
    size = "1,797 x 8 x 8, 10 classes"
    licence = "CC BY 4.0 (UCI), scikit-learn is BSD-3-Clause"

    def read(self) -> Raw:
        """Return the digits in scikit-learn's order."""
        table = embedded("digits", delimiter=",")
        return Raw({"image": table[:, :-1].reshape(-1, 1, 8, 8)}, table[:, -1].astype(np.int64), white=16.0)
