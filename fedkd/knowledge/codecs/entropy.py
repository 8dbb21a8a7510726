"""Lossless compression of what another codec sends, where it makes it shorter.

The coders are those of Python's standard library, without their headers: `zlib` is Huffman coding with repetitions
(RFC 1951), `lzma` is a range coder with adaptive probabilities, which pays for long messages.

Source: Sattler et al., "CFD: Communication-Efficient Federated Distillation via Soft-Label Quantization and Delta Coding"
(IEEE TNSE 2022; arXiv 2012.00632), section V, technique 3, which uses CABAC.
"""

import lzma
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Shaped
from torch import Tensor

from fedkd.knowledge.codecs._nested import Around, Nested
from fedkd.knowledge.codecs.base import Before, in_bytes
from fedkd.knowledge.codecs.int8 import Int8

_AS_IT_IS, _SHORTER = 0, 1
_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)
"""With repetitions, and without: looking for those makes random symbols longer. The receiver need not know which it was."""

_FILTERS: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 0, "pb": 0}]


@dataclass(frozen=True, kw_only=True)
class Entropy(Around):
    """Sends what another codec does in as few bytes as a lossless coder can; one byte more where it cannot."""

    of: Nested = field(default_factory=Int8)
    """The codec whose bytes are coded; few different symbols are what pays: `constrained`, `int8`, `delta`."""

    coder: Literal["zlib", "lzma"] = "zlib"
    """The coder of the standard library; its bytes, not what they mean, can differ between versions of the library."""

    def encode_after(self, values: Shaped[Tensor, "..."], before: Before | None) -> npt.NDArray[Any]:
        """Return the coded message to a receiver who holds copies."""
        plain = in_bytes(self.of.encode_after(values, before)).tobytes()
        coded = self._shorten(plain)
        shorter = len(coded) < len(plain)
        flag = bytes([_SHORTER if shorter else _AS_IT_IS])
        return np.frombuffer(flag + (coded if shorter else plain), np.uint8)

    def decode_after(
        self, sent: npt.NDArray[Any], shape: tuple[int, ...], before: Before | None
    ) -> Shaped[Tensor, "..."]:
        """Return what the inner codec makes of its bytes, and of the copies."""
        message = in_bytes(sent).tobytes()
        if message[:1] not in {bytes([_AS_IT_IS]), bytes([_SHORTER])}:
            raise ValueError("sent bytes that are no entropy-coded message")
        plain = message[1:]
        if message[0] == _SHORTER:
            plain = self._restore(plain, self.of.num_bytes(shape))
        return self.of.decode_after(np.frombuffer(plain, np.uint8), shape, before)

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the size where nothing could be saved."""
        return 1 + self.of.num_bytes(shape)

    def _shorten(self, plain: bytes) -> bytes:
        if self.coder == "lzma":
            return lzma.compress(plain, format=lzma.FORMAT_RAW, filters=_FILTERS)
        return min((_deflated(plain, strategy) for strategy in _STRATEGIES), key=len)

    def _restore(self, coded: bytes, most: int) -> bytes:
        """Return the plain bytes, of which there may be so many; of more, one too many, which the inner codec refuses."""
        decoder = (
            lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_FILTERS)
            if self.coder == "lzma"
            else zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        )
        try:
            plain = decoder.decompress(coded, most + 1)
        except (zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"sent bytes that no {self.coder} coder has written ({error})") from error
        if len(plain) <= most and (decoder.unused_data or not decoder.eof):
            what = "goes on behind its end" if decoder.eof else "has no end"
            raise ValueError(f"sent bytes that no {self.coder} coder has written (the message {what})")
        return plain


def _deflated(plain: bytes, strategy: int) -> bytes:
    deflate = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS, memLevel=9, strategy=strategy)
    return deflate.compress(plain) + deflate.flush()
