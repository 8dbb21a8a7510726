"""A federation's data in a form that processes on one machine can share: plain arrays, few and large.

>>> restored(shareable(data)).client_train(3)
"""

import warnings
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy.typing as npt
import torch

from fedkd.data.federated import FederatedData
from fedkd.data.positions import Positions
from fedkd.data.samples import Samples

_SAMPLES = ("train", "validation", "test", "proxy")
_POSITIONS = ("assignments", "holdouts")


@dataclass(frozen=True, eq=False)
class Shareable:
    """The data of a federation without tensors.

    Args:
        rest: everything that is small, with nothing in the place of what follows.
        samples: by field, the arrays of samples.
        positions: by field, the positions of all clients.
    """

    rest: FederatedData
    samples: dict[str, dict[str, Any] | None]
    positions: dict[str, Positions]


def shareable(data: FederatedData) -> Shareable:
    """Return the data without tensors; its manifest stays behind."""
    samples = {name: _arrays(getattr(data, name)) for name in _SAMPLES}
    positions = {name: Positions.of(getattr(data, name)) for name in _POSITIONS}
    empty: dict[str, Any] = {**dict.fromkeys(_SAMPLES), **dict.fromkeys(_POSITIONS, ()), "manifest": {}}
    return Shareable(replace(data, **empty), samples, positions)


def restored(shared: Shareable) -> FederatedData:
    """Return the data; its tensors look into the arrays, which must not be written to."""
    parts: dict[str, Any] = {name: _samples(arrays) for name, arrays in shared.samples.items()}
    parts |= shared.positions
    known = {field.name for field in fields(FederatedData)}
    assert parts.keys() <= known
    return replace(shared.rest, **parts)


def _arrays(samples: Samples | None) -> dict[str, Any] | None:
    if samples is None:
        return None
    return {
        "inputs": {view: x.numpy() for view, x in samples.inputs.items()},
        "targets": samples.targets.numpy(),
        "ids": samples.ids.numpy(),
        "owners": None if samples.owners is None else samples.owners.numpy(),
    }


def _samples(arrays: dict[str, Any] | None) -> Samples | None:
    if arrays is None:
        return None
    inputs = {view: _tensor(x) for view, x in arrays["inputs"].items()}
    owners = None if arrays["owners"] is None else _tensor(arrays["owners"])
    return Samples(inputs, _tensor(arrays["targets"]), _tensor(arrays["ids"]), owners)


def _tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)
