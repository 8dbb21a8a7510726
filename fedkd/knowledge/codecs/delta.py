"""Only what has changed: rows that differ from the copy that the receiver holds of them.

Both ends keep the last copy of each row by the id of its sample. A message is one bit a row, whether it is sent, and the
rows that are, under another codec; the receiver has its copy of the others. The first message sends everything.

    sent_t = {rows l : Q(Y_t)_l differs from copy_(t-1, l)}

Source: Sattler et al., "CFD: Communication-Efficient Federated Distillation via Soft-Label Quantization and Delta Coding"
(IEEE TNSE 2022; arXiv 2012.00632), equation 13. With a tolerance, unchanged is what moved little, in the manner of the soft-label
cache of SCARLET (Azuma et al., 2025).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import NonNegative
from fedkd.knowledge.codecs._nested import Around, Nested
from fedkd.knowledge.codecs.base import Before, in_bytes, rows_of
from fedkd.knowledge.codecs.float32 import Float32


@dataclass(frozen=True, kw_only=True)
class Delta(Around):
    """Sends the rows that differ from the last copy, under another codec; needs a strategy that keeps copies."""

    of: Nested = field(default_factory=Float32)
    """The codec of the rows; with float32, what is received is exactly what was said."""

    tolerance: NonNegative = 0.0
    """A row is unchanged if no number of it moved further than this since it was last sent; 0 loses nothing."""

    def __post_init__(self) -> None:
        """Refuse a difference of differences."""
        if self.of.remembers:
            raise InvalidOption(
                "codec.of", self.of.name, "a codec that remembers nothing; one `delta` is enough"
            )

    @property
    def remembers(self) -> bool:
        """Yes: what is sent depends on the receiver's copies."""
        return True

    def encode_after(self, values: Shaped[Tensor, "..."], before: Before | None) -> npt.NDArray[Any]:
        """Return which rows have changed, 1 bit each, and these rows."""
        given = values.detach().cpu().reshape(rows_of(tuple(values.shape)))
        changed = self._changed(given, before)
        return np.concatenate([np.packbits(changed.numpy()), in_bytes(self.of.encode(given[changed]))])

    def decode_after(
        self, sent: npt.NDArray[Any], shape: tuple[int, ...], before: Before | None
    ) -> Shaped[Tensor, "..."]:
        """Return the rows that came, and the copies of the others."""
        rows, width = rows_of(shape)
        mask, rest = np.split(in_bytes(sent), [-(-rows // 8)])
        changed = torch.from_numpy(np.unpackbits(mask, count=rows).astype(bool))
        known = torch.zeros(rows, dtype=torch.bool) if before is None else before.known
        if missing := int((~changed & ~known).sum()):
            raise ValueError(f"sent differences to copies of {missing} rows that are not here")
        said = torch.zeros(rows, width) if before is None else before.values.clone()
        said[changed] = self.of.decode(rest, (int(changed.sum()), width))
        return said.reshape(shape)

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the size where everything has changed."""
        rows, _ = rows_of(shape)
        return -(-rows // 8) + self.of.num_bytes(shape)

    def _changed(self, given: Shaped[Tensor, "rows _"], before: Before | None) -> Bool[Tensor, " rows"]:
        if before is None:
            return torch.ones(len(given), dtype=torch.bool)
        said = self.of.decode(self.of.encode(given), tuple(given.shape))
        still = ((said - before.values).abs() <= self.tolerance).all(dim=1)  # no for NaN
        return ~(still & before.known)
