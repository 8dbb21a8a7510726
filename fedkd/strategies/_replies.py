"""What a server strategy checks in a reply, and how the metrics of replies are averaged."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

from fedkd.knowledge import BadPackage


@dataclass
class Accumulated:
    """A mean that grows: sums of metrics, by weight."""

    total: dict[str, float] = field(default_factory=dict)
    weight: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float, weight: float) -> None:
        """Count a value; NaN and weight 0 count nothing."""
        if weight > 0 and not math.isnan(value):
            self.total[name] = self.total.get(name, 0.0) + value * weight
            self.weight[name] = self.weight.get(name, 0.0) + weight

    def means(self) -> dict[str, float]:
        """Return the mean of each metric."""
        return {name: total / self.weight[name] for name, total in self.total.items()}


def mean_metrics(contents: Iterable[RecordDict]) -> MetricRecord:
    """Return the mean of every single-valued metric over messages, by their number of samples."""
    sums = Accumulated()
    for content in contents:
        for record in content.metric_records.values():
            for name, value in record.items():
                if name != "num-examples" and isinstance(value, int | float):
                    sums.add(name, float(value), float(str(record.get("num-examples", 1))))
    return MetricRecord({**sums.means()})


def require_like(weights: ArrayRecord, sent: ArrayRecord) -> None:
    """Refuse weights that are not finite or not of the form that was sent out."""
    if unknown := weights.keys() - sent.keys():
        raise BadPackage(f"sent weights {min(unknown)!r} that nobody asked for")
    for name, array in sent.items():
        if name not in weights:
            raise BadPackage(f"sent no weights {name!r}")
        if tuple(weights[name].shape) != tuple(array.shape):
            raise BadPackage(
                f"sent weights {name!r} of shape {list(weights[name].shape)}, expected {list(array.shape)}"
            )
        if not bool(torch.from_numpy(weights[name].numpy().copy()).isfinite().all()):
            raise BadPackage(f"sent weights {name!r} that are not finite")


def checked_size(message: Message, check: Callable[[Message], None] | None) -> int:
    """Return how many samples are behind a reply, or say why it cannot be used; with none it is not looked into."""
    if message.has_error():
        raise BadPackage(message.error.reason or f"error {message.error.code}")
    metrics = message.content.metric_records.get("metrics")
    if metrics is None or "num-examples" not in metrics:
        raise BadPackage("sent no 'num-examples' in 'metrics'")
    said = metrics["num-examples"]
    if not isinstance(said, int | float) or said < 0 or not float(said).is_integer():
        raise BadPackage(f"sent 'num-examples' {said!r}, expected a whole number of at least 0")
    if check is not None and said:
        check(message)
    return int(said)
