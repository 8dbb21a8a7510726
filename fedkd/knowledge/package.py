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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.parts import dump
from fedkd.knowledge.arrays import arrays_in, filled, numbers_of, record_of, size_of
from fedkd.knowledge.codecs import CODECS
from fedkd.knowledge.codecs.base import Before, Codec

ARRAYS = "arrays"
"""Name of the record that holds the arrays; weights under this name are what Flower's own strategies expect."""

ABOUT = "about"
"""Name of the record that says what the arrays are."""

WEIGHTS = "weights"
"""Name of the record that holds a network's weights beside other knowledge."""

EVIDENCE = "evidence"
"""Name of the record that holds what a client says about itself beside its knowledge, for the sake of a weighting."""

_IDS, _COUNTS, _TARGETS = "ids", "counts", "targets"
_SHAPE = "shape/"
"""Before the name of an array in `about`: its shape, where what is sent of it has another one."""

HeldOf = Callable[[Tensor, tuple[int, ...]], Before]
"""Says what a receiver holds of samples, by their ids and the shape of what is said of one."""


class BadPackage(ValueError):
    """Knowledge that cannot be used: not finite, or not of the form it should have."""


@dataclass(frozen=True)
class Package:
    """What one party says.

    Args:
        kind: what it is, by the name of its kind of knowledge: `weights`, `logits`, `class_means`, ...
        arrays: what is said: `values` [samples or classes, outputs] (of sequences [samples, places, outputs]), or a network's weights by name.
        ids: [samples] the samples that the values are about: of the proxy set, or a client's own; none for what is not about samples.
        counts: [classes] how many private samples stand behind each row of what is about classes; 0 means nothing is said.
        targets: [samples, ...] true targets of these samples, where a client gives them away; as they are, whatever the codec.
    """

    kind: str
    arrays: Mapping[str, Tensor]
    ids: Int[Tensor, " n"] | None = None
    counts: Int[Tensor, " classes"] | None = None
    targets: Shaped[Tensor, "n ..."] | None = None

    @property
    def values(self) -> Float[Tensor, "rows ... outputs"]:
        """The rows of a package that is not weights."""
        return self.arrays["values"]

    def scores(self) -> Float[Tensor, "rows ... outputs"]:
        """Return the values in log space: logits as they are, probabilities as their logarithms."""
        if self.kind != "probabilities":
            return self.values
        return self.values.clamp_min(torch.finfo(self.values.dtype).tiny).log()

    def scores_of(self, ids: Int[Tensor, " n"]) -> Float[Tensor, "n ... outputs"]:
        """Return what is said of these samples in log space, in their order and not in that in which it was said.

        Raises:
            BadPackage: nothing is said of one of them.
        """
        if self.ids is None:
            raise BadPackage(f"sent {self.kind} without the ids of the samples that they are about")
        named, order = self.ids.sort(stable=True)
        places = torch.searchsorted(named, ids).clamp_max(len(named) - 1)
        found = named[places] == ids if len(named) else torch.zeros(len(ids), dtype=torch.bool)
        if not bool(found.all()):
            raise BadPackage(f"sent nothing about sample {int(ids[~found][0])}")
        return self.scores()[order[places]]

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


def to_records(
    package: Package, codec: Codec, before: Before | None = None
) -> dict[str, ArrayRecord | ConfigRecord]:
    """Return the Flower records of a package: its arrays, encoded, and what they are.

    Args:
        package: what is said.
        codec: how it is sent.
        before: what the receiver holds of it already, for codecs that remember.
    """
    about: dict[str, str | list[int]] = {"kind": package.kind, "codec": _spec(codec)}
    encoded = {}
    for name, array in package.arrays.items():
        encoded[name] = np.asarray(codec.encode_after(array, before), order="C")
        if encoded[name].shape != tuple(array.shape):
            about[f"{_SHAPE}{name}"] = list(array.shape)
    if package.ids is not None:
        encoded[_IDS] = package.ids.numpy()
    if package.counts is not None:
        encoded[_COUNTS] = package.counts.numpy()
    if package.targets is not None:
        encoded[_TARGETS] = package.targets.numpy()
    return {ARRAYS: record_of(encoded), ABOUT: filled(ConfigRecord(), about)}


def from_records(content: RecordDict, held: HeldOf | None = None) -> Package:
    """Return the package that a message carries.

    Args:
        content: the message's records.
        held: what the receiver holds already, for codecs that remember.

    Raises:
        BadPackage: the message carries none, or one that cannot be decoded.
        ValueError: its bytes are not those of its codec.
    """
    sent, about = arrays_in(content, ARRAYS), content.get(ABOUT)
    if sent is None or not isinstance(about, ConfigRecord):
        raise BadPackage(f"sent no knowledge (records {sorted(content)})")
    arrays, codec = {name: numbers_of(array) for name, array in sent.items()}, codec_of(content)
    extras = {
        name: torch.from_numpy(arrays.pop(name).copy())
        for name in (_IDS, _COUNTS, _TARGETS)
        if name in arrays
    }
    ids, decoded = extras.get(_IDS), {}
    for name, array in arrays.items():
        shape = _shape_of(about.get(f"{_SHAPE}{name}"), array.shape)
        before = None
        if codec.remembers and held is not None and ids is not None and len(shape) > 1:
            before = held(ids.long(), shape[1:])
        decoded[name] = codec.decode_after(array, shape, before)
    return Package(
        str(about["kind"]), decoded, ids=ids, counts=extras.get(_COUNTS), targets=extras.get(_TARGETS)
    )


def codec_of(content: RecordDict) -> Codec:
    """Return the codec of the knowledge that a message carries.

    Raises:
        BadPackage: it is not known here.
    """
    about = content.get(ABOUT)
    if not isinstance(about, ConfigRecord):
        raise BadPackage(f"sent no knowledge (records {sorted(content)})")
    try:
        return _codec(str(about["codec"]))
    except InvalidOption as error:
        raise BadPackage(f"sent knowledge under a codec that is not known here ({error})") from error


def payload_of(content: RecordDict) -> int:
    """Return the exact size in bytes of the knowledge, the weights and the evidence that a message carries; 0 if there is none.

    What is measured are the arrays that cross, after encoding; ids and counts beside knowledge are not knowledge, labels are.
    """
    beside = {_IDS, _COUNTS} if isinstance(content.get(ABOUT), ConfigRecord) else set()
    return sum(
        size_of(array)
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
    for name in _names_in(described):
        module, colon, _ = name.partition(":")
        if colon and module not in sys.modules:
            raise InvalidOption("codec", name, "a codec that the receiver has loaded itself")
    return cast("Codec", CODECS.create(described, key="codec"))


def _names_in(described: Any) -> list[str]:
    """Return the names of a codec and of those inside it."""
    if not isinstance(described, dict):
        return [described] if isinstance(described, str) else []
    return [name for key, value in described.items() if key in {"name", "of"} for name in _names_in(value)]


def _shape_of(said: Any, sent: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an array: the one that is said, or that of what was sent."""
    if said is None:
        return tuple(sent)
    if not isinstance(said, list) or not all(isinstance(size, int) and size >= 0 for size in said):
        raise BadPackage(f"sent an array of the shape {said}")
    return tuple(said)
