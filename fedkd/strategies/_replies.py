"""What a server strategy checks in a reply, and how the metrics of replies are averaged."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

from fedkd.aggregation.weightings.base import Weighting
from fedkd.knowledge import ARRAYS, BadPackage
from fedkd.knowledge.arrays import numbers_of

Shapes = Mapping[str, tuple[int, ...]]
Numbers = list[int] | list[float]

SINGLE = -1
"""Stands for the length of a metric that is no list."""


class MeanMetrics:
    """The mean of every metric over messages, by their number of samples; NaN and 0 samples count nothing.

    It is what Flower's own strategies give, lists included. Of each message only its numbers are held, so that the mean does
    not depend on the order in which they came.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[str, int], list[tuple[Numbers, float]]] = {}

    def add(self, content: RecordDict) -> None:
        """Count the metrics of a message."""
        for record in content.values():
            if isinstance(record, MetricRecord):
                self._count(dict(record.items()))

    def result(self) -> MetricRecord:
        """Return the means so far."""
        means: dict[str, float | list[float]] = {}
        for (name, length), said in sorted(self._said.items()):
            mean = [
                _mean([(float(value[place]), weight) for value, weight in said])
                for place in range(abs(length))
            ]
            means[name] = mean[0] if length == SINGLE else mean
        return MetricRecord({**means})

    def _count(self, record: Mapping[str, int | float | list[int] | list[float]]) -> None:
        weight = record.get("num-examples", 1)
        if isinstance(weight, list) or not 0 < weight < math.inf:
            return
        for name, value in record.items():
            if name != "num-examples":
                numbers, length = (value, len(value)) if isinstance(value, list) else ([value], SINGLE)
                if not any(map(math.isnan, numbers)):
                    self._said.setdefault((name, length), []).append((numbers, float(weight)))


def shapes_of(weights: ArrayRecord) -> Shapes:
    """Return the shape of every array."""
    return {name: tuple(array.shape) for name, array in weights.items()}


def read_weights(content: RecordDict, shapes: Shapes, *, copied: bool = True) -> dict[str, npt.NDArray[Any]]:
    """Return the weights that a reply holds, decoded once.

    Args:
        content: of the reply.
        shapes: of the weights that were sent out.
        copied: whether they get memory of their own; else they are not to be written to.

    Raises:
        BadPackage: there are none, or they are not finite numbers of the form that was sent out.
    """
    record = content.get(ARRAYS)
    if not isinstance(record, ArrayRecord):
        raise BadPackage("sent no weights")
    weights = dict(record.items())  # a record of Flower's takes its time
    if unknown := weights.keys() - shapes.keys():
        raise BadPackage(f"sent weights {min(unknown)!r} that nobody asked for")
    arrays = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for name, shape in shapes.items():
            if name not in weights:
                raise BadPackage(f"sent no weights {name!r}")
            array = weights[name].numpy() if copied else numbers_of(weights[name])
            if array.shape != shape:
                raise BadPackage(
                    f"sent weights {name!r} of shape {list(array.shape)}, expected {list(shape)}"
                )
            if array.dtype.kind not in "fiub":
                raise BadPackage(f"sent weights {name!r} of type {array.dtype}, expected numbers")
            if array.dtype.kind == "f" and not _finite(array):
                raise BadPackage(f"sent weights {name!r} that are not finite")
            arrays[name] = array
    return arrays


def checked_size(message: Message) -> int:
    """Return how many samples are behind a reply, or say why it cannot be used."""
    if message.has_error():
        raise BadPackage(message.error.reason or f"error {message.error.code}")
    metrics = message.content.get("metrics")
    if not isinstance(metrics, MetricRecord) or "num-examples" not in metrics:
        raise BadPackage("sent no 'num-examples' in 'metrics'")
    said = metrics["num-examples"]
    if not isinstance(said, int | float) or said < 0 or not float(said).is_integer():
        raise BadPackage(f"sent 'num-examples' {said!r}, expected a whole number of at least 0")
    return int(said)


def require_known(weighting: Weighting, *, labels: bool, validation: bool) -> None:
    """Refuse a weighting that needs what a strategy was not given.

    Raises:
        ValueError: with what is missing.
    """
    if "labels" in weighting.needs and not labels:
        raise ValueError(f"{type(weighting).__name__} needs the labels of the proxy set: set labelled=True")
    if "validation" in weighting.needs and not validation:
        raise ValueError(
            f"{type(weighting).__name__} needs scores on validation data, which are not known here"
        )


def _mean(said: list[tuple[float, float]]) -> float:
    """Return the mean of (value, weight), rounded once; NaN of values whose sum is beyond all numbers."""
    try:
        return math.fsum(value * weight for value, weight in said) / math.fsum(weight for _, weight in said)
    except (OverflowError, ValueError):
        return math.nan


def _finite(array: npt.NDArray[Any]) -> bool:
    """Return whether all numbers are finite; then so is the sum of their squares, unless it overflows."""
    flat = array.reshape(-1)
    return bool(np.isfinite(flat.dot(flat)) or np.isfinite(flat).all())
