"""Typed packages of knowledge and their form in a Flower message.

>>> package = Package("probabilities", {"values": probabilities}, ids=proxy.ids)
>>> records = to_records(package, Float32())
>>> from_records(RecordDict(records)).ids
tensor([...])
"""

import functools
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.parts import dump
from fedkd.knowledge.arrays import arrays_in, numbers_of, record_of
from fedkd.knowledge.codecs import CODECS
from fedkd.knowledge.codecs.base import Codec

ARRAYS = "arrays"
"""Name of the record that holds the arrays; weights under this name are what Flower's own strategies expect."""

ABOUT = "about"
"""Name of the record that says what the arrays are."""

WEIGHTS = "weights"
"""Name of the record that holds a network's weights beside other knowledge."""

EVIDENCE = "evidence"
"""Name of the record that holds what a client says about itself beside its knowledge, for the sake of a weighting."""

_IDS, _COUNTS = "ids", "counts"


class BadPackage(ValueError):
    """Knowledge that cannot be used: not finite, or not of the form it should have."""


@dataclass(frozen=True)
class Package:
    """What one party says.

    Args:
        kind: `weights`, `logits`, `probabilities` or `class_means`.
        arrays: what is said: `values` [samples or classes, outputs], or a network's weights by name.
        ids: [samples] the proxy samples that the values are about; none for weights and class means.
        counts: [classes] how many private samples stand behind each row of class means; 0 means nothing is said.
    """

    kind: str
    arrays: Mapping[str, Tensor]
    ids: Int[Tensor, " n"] | None = None
    counts: Int[Tensor, " classes"] | None = None

    @property
    def values(self) -> Float[Tensor, "rows outputs"]:
        """The rows of a package that is not weights."""
        return self.arrays["values"]

    def scores(self) -> Float[Tensor, "rows outputs"]:
        """Return the values in log space: logits as they are, probabilities as their logarithms."""
        if self.kind != "probabilities":
            return self.values
        return self.values.clamp_min(torch.finfo(self.values.dtype).tiny).log()

    def require(self, kind: str, shape: tuple[int, ...]) -> None:
        """Refuse a package of another kind or shape, or with a number that is not finite.

        Raises:
            BadPackage: with the reason.
        """
        if self.kind != kind:
            raise BadPackage(f"sent {self.kind}, expected {kind}")
        if tuple(self.values.shape) != shape:
            raise BadPackage(f"sent values of shape {list(self.values.shape)}, expected {list(shape)}")
        self.require_finite()

    def require_finite(self) -> None:
        """Refuse a package that holds NaN or infinity."""
        for name, array in self.arrays.items():
            # A sum is finite only where all its terms are; where it is not, it may have overflowed.
            quick = not array.is_floating_point() or math.isfinite(float(array.double().sum()))
            if not quick and not bool(array.isfinite().all()):
                raise BadPackage(f"sent values that are not finite (in {name!r})")


def to_records(package: Package, codec: Codec) -> dict[str, ArrayRecord | ConfigRecord]:
    """Return the Flower records of a package: its arrays, encoded, and what they are."""
    encoded = {name: np.asarray(codec.encode(array), order="C") for name, array in package.arrays.items()}
    if package.ids is not None:
        encoded[_IDS] = package.ids.numpy()
    if package.counts is not None:
        encoded[_COUNTS] = package.counts.numpy()
    about = ConfigRecord({"kind": package.kind, "codec": _spec(codec)})
    return {ARRAYS: record_of(encoded), ABOUT: about}


def from_records(content: RecordDict) -> Package:
    """Return the package that a message carries.

    Raises:
        BadPackage: the message carries none, or one that cannot be decoded.
    """
    sent, about = arrays_in(content, ARRAYS), content.get(ABOUT)
    if sent is None or not isinstance(about, ConfigRecord):
        raise BadPackage(f"sent no knowledge (records {sorted(content)})")
    arrays = {name: numbers_of(array) for name, array in sent.items()}
    try:
        codec: Codec = _codec(str(about["codec"]))
    except InvalidOption as error:
        raise BadPackage(f"sent knowledge under a codec that is not known here ({error})") from error
    extras = {name: torch.from_numpy(arrays.pop(name).copy()) for name in (_IDS, _COUNTS) if name in arrays}
    return Package(
        kind=str(about["kind"]),
        arrays={name: codec.decode(array) for name, array in arrays.items()},
        ids=extras.get(_IDS),
        counts=extras.get(_COUNTS),
    )


def payload_of(content: RecordDict) -> int:
    """Return the exact size in bytes of the knowledge, the weights and the evidence that a message carries; 0 if there is none.

    What is measured are the arrays that cross, after encoding; ids and counts beside knowledge are not knowledge.
    """
    beside = {_IDS, _COUNTS} if isinstance(content.get(ABOUT), ConfigRecord) else set()
    return sum(
        math.prod(array.shape) * np.dtype(array.dtype).itemsize
        for name in (ARRAYS, WEIGHTS, EVIDENCE)
        for key, array in (arrays_in(content, name) or {}).items()
        if key not in beside
    )


@functools.lru_cache(maxsize=64)
def _spec(codec: Codec) -> str:
    """Return the name of a codec, with what its decoding depends on, since the receiver makes it anew."""
    options = dump(codec)
    return json.dumps({"name": codec.name, **options}) if options else codec.name


@functools.lru_cache(maxsize=64)
def _codec(spec: str) -> Codec:
    """Return the codec that a message names, alone or as JSON with its options.

    A message must not make its receiver import anything: `module:Class` is taken of modules only that are here already.
    """
    described = json.loads(spec) if spec.startswith("{") else {"name": spec}
    module, colon, _ = str(described.get("name")).partition(":")
    if colon and module not in sys.modules:
        raise InvalidOption("codec", described["name"], "a codec that the receiver has loaded itself")
    return cast("Codec", CODECS.create(described, key="codec"))
