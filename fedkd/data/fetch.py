"""Bringing data sets to this machine, and listing those that are there: what `fedkd data` does.

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
from fedkd.foundation.registry import BrokenPlugin


@dataclass(frozen=True)
class InventoryRow:
    """One data set, for people: what it is, where it comes from, and whether it is on this machine."""

    name: str
    task: str
    origin: str
    size: str
    licence: str
    present: bool


def fetch(name: str, *, progress: bool = True) -> Path:
    """Make sure that a data set is on this machine and sound, and return where it is; of one made of several, the first.

    A set that comes with an installed package has no file of its own: the module that reads it is returned.

    Args:
        name: a name of `inventory`, or `module:Class`.
        progress: whether to show on a terminal what is being done.

    Raises:
        InvalidOption: there is no data set of this name.
        DataUnavailable: no source delivers it; the message says for each what happened.
    """
    found: type[DataSet] = DATASETS.find(name, key="data.name")
    places = [obtain(archive, progress=progress) for archive in found.archives()]
    return places[0] if places else Path(inspect.getfile(found))


def inventory() -> list[InventoryRow]:
    """Return a row for each data set that has a name, plug-ins included; a broken plug-in is a row that says so."""
    return [_row(name) for name in DATASETS.names()]


def _row(name: str) -> InventoryRow:
    try:
        found: type[DataSet] = DATASETS.find(name, key="data.name")
    except BrokenPlugin as error:
        return InventoryRow(name, "?", str(error), "?", "?", present=False)
    present = all(is_cached(archive) for archive in found.archives())
    return InventoryRow(name, found.task, found.origin, found.size, found.licence, present)
