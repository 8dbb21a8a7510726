"""Bringing data sets and published weights to this machine, and listing those that are there: what `fedkd data` does.

>>> fetch("fashion_mnist")
PosixPath('.../fashion_mnist-....safetensors')
>>> [row.name for row in inventory() if row.present]
['diabetes', 'digits', 'fashion_mnist']
"""

import inspect
from dataclasses import dataclass
from pathlib import Path

from fedkd.data.archive import is_cached, obtain
from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import DataSet
from fedkd.data.pretrained import PRETRAINED
from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.foundation.registry import BrokenPlugin


@dataclass(frozen=True)
class InventoryRow:
    """One data set, or the weights of networks, for people: what it is, where it comes from, and whether it is on this machine."""

    name: str
    task: str
    origin: str
    size: str
    licence: str
    present: bool


def fetch(name: str, *, progress: bool = True) -> Path:
    """Make sure that a data set, or published weights, are on this machine and sound, and return where; of a set made of several, the first.

    A set that comes with an installed package has no file of its own: the module that reads it is returned.

    Args:
        name: a name of `inventory`, or `module:Class`.
        progress: whether to show on a terminal what is being done.

    Raises:
        InvalidOption: there is nothing of this name.
        DataUnavailable: no source delivers it; the message says for each what happened.
    """
    if name in PRETRAINED:
        return obtain(PRETRAINED[name].archive, progress=progress)
    known = [*DATASETS.names(), *PRETRAINED]
    if name not in known and ":" not in name:
        raise InvalidOption(
            "data fetch", name, f"one of {', '.join(known)}, or module:Class", nearest(name, known)
        )
    found: type[DataSet] = DATASETS.find(name, key="data.name")
    places = [obtain(archive, progress=progress) for archive in found.archives()]
    return places[0] if places else Path(inspect.getfile(found))


def inventory() -> list[InventoryRow]:
    """Return a row for each data set that has a name, plug-ins included, and each archive of weights; a broken plug-in is a row that says so."""
    weights = [
        InventoryRow(name, "weights", own.origin, own.size, own.licence, is_cached(own.archive))
        for name, own in PRETRAINED.items()
    ]
    return [*(_row(name) for name in DATASETS.names()), *weights]


def _row(name: str) -> InventoryRow:
    try:
        found: type[DataSet] = DATASETS.find(name, key="data.name")
    except BrokenPlugin as error:
        return InventoryRow(name, "?", str(error), "?", "?", present=False)
    present = all(is_cached(archive) for archive in found.archives())
    return InventoryRow(name, found.task, found.origin, found.size, found.licence, present)
