"""Fashion-MNIST: articles of clothing, 28 x 28 pixels.

Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", 2017 (https://arxiv.org/abs/1708.07747).
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.sources import Debian, Folder, UserFolder, Web


def _decode(folder: Path) -> Arrays:
    parts = ("train", "t10k")  # the authors' test part comes last
    images = [_idx(folder / f"{part}-images-idx3-ubyte.gz") for part in parts]
    labels = [_idx(folder / f"{part}-labels-idx1-ubyte.gz") for part in parts]
    return {"images": np.concatenate(images), "labels": np.concatenate(labels)}


def _idx(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Decode the IDX format: two zero bytes, 8 for unsigned bytes, the number of axes, big-endian lengths, bytes."""
    data = gzip.decompress(path.read_bytes())
    if data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name} is not an IDX file of bytes")
    axes = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=axes, offset=4).astype(int)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * axes).reshape(tuple(shape))


ARCHIVE = Archive(
    name="fashion_mnist",
    files=(
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ),
    sources=(
        UserFolder("fashion_mnist"),
        Folder("/usr/share/datasets/fashion-mnist", "Debian package dataset-fashion-mnist, installed"),
        Debian("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist"),
        Web(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            {
                "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
    ),
    decode=_decode,
    sha256="74ab516977933676be36226535d29c857bb42b0a0434b4849699b3916fe11224",
)


@dataclass(frozen=True, kw_only=True)
class FashionMnist(DataSet):
    """Articles of clothing, 60,000 and a test part of 10,000, 28 x 28 pixels in 256 grey levels."""

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"image": (1, 28, 28)}
    num_outputs = 10
    rows = 70_000
    test_rows = 10_000
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    origin = "Debian package dataset-fashion-mnist, or the authors' repository (31 MB)"
    size = "60,000 + 10,000 x 28 x 28, 10 classes"
    licence = "MIT"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the authors' training part, then their test part, each in its own order."""
        arrays = load(ARCHIVE)
        return Raw({"image": arrays["images"][:, None]}, arrays["labels"], white=255.0)
