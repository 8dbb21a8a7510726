"""Random numbers by name: one root seed, and a stream of its own for every (purpose, round, client).

Streams do not depend on the order in which they are asked for, on the process, or on how many workers there are, so
the data split, the initialisation and the training of one client can each be held fixed while the others change.

>>> Streams(0).numpy("partition").integers(10, size=3)
array([...])
"""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Streams:
    """All random streams of a run.

    Args:
        seed: the root seed, a whole number of at least 0.
    """

    seed: int

    def key(self, purpose: str, *, round: int = 0, client: int = -1) -> int:  # noqa: A002  (the field's word)
        """Return the 63-bit seed of a stream; equal arguments give equal seeds on every machine."""
        text = f"{self.seed}/{purpose}/{round}/{client}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1

    def numpy(self, purpose: str, *, round: int = 0, client: int = -1) -> np.random.Generator:  # noqa: A002
        """Return a fresh NumPy generator at the start of the stream."""
        return np.random.Generator(np.random.PCG64(self.key(purpose, round=round, client=client)))

    def torch(self, purpose: str, *, round: int = 0, client: int = -1) -> torch.Generator:  # noqa: A002
        """Return a fresh CPU generator of PyTorch at the start of the stream."""
        return torch.Generator().manual_seed(self.key(purpose, round=round, client=client))

    @contextlib.contextmanager
    def initialising(self, purpose: str, *, client: int = -1) -> Iterator[None]:
        """Let modules that draw from PyTorch's global generator draw from a stream, and leave the global one untouched."""
        with drawing_from(self.key(purpose, client=client)):
            yield


@contextlib.contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let PyTorch's global generator begin at a seed in this context, and give it back as it was."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which also seeds the generators of every GPU.
        torch.default_generator.manual_seed(seed)
        yield
