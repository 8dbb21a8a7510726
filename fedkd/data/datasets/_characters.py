"""Texts as symbols: one alphabet for all of them, so that a network for one can read another.

>>> encode("To be, or not")[:2]
array([45, 60], dtype=uint8)
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fedkd.data.datasets.base import Indices, Raw

ALPHABET = "\n !\"&'(),-.:;?" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "abcdefghijklmnopqrstuvwxyz"
"""The symbols in the order of their numbers; other characters are left out."""

NAMES = tuple("newline" if one == "\n" else "space" if one == " " else one for one in ALPHABET)
"""What the symbols are called."""

WINDOW = 80
"""Symbols of a sample, as in LEAF (Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018)."""

_NUMBERS = np.full(256, 255, dtype=np.uint8)
_NUMBERS[list(ALPHABET.encode())] = np.arange(len(ALPHABET))


def encode(text: str) -> npt.NDArray[np.uint8]:
    """Return the numbers of the symbols of a text."""
    characters = np.frombuffer(text.encode("latin-1", errors="ignore"), dtype=np.uint8)
    numbers: npt.NDArray[np.uint8] = _NUMBERS[characters]
    return np.ascontiguousarray(numbers[numbers != 255])


def packed(texts: Sequence[npt.NDArray[np.uint8]]) -> dict[str, npt.NDArray[np.generic]]:
    """Return texts of several owners as two arrays: all of them one after the other, and where each ends."""
    return {"text": np.concatenate(texts), "ends": np.cumsum([len(text) for text in texts], dtype=np.int64)}


def windows(text: npt.NDArray[np.uint8], ends: Indices) -> Raw:
    """Cut the text of each owner into windows that follow each other; what is left at its end is dropped.

    Returns:
        Inputs [N, 80] of symbols, the symbol after each of them as targets [N, 80], and the owners [N].
    """
    inputs, targets, owners = [], [], []
    for owner, own in enumerate(np.split(text, ends[:-1])):
        count = (len(own) - 1) // WINDOW
        inputs.append(own[: count * WINDOW].reshape(count, WINDOW))
        targets.append(own[1 : count * WINDOW + 1].reshape(count, WINDOW))
        owners.append(np.full(count, owner))
    return Raw({"tokens": np.concatenate(inputs)}, np.concatenate(targets), owners=np.concatenate(owners))
