"""The manifest of a partition: who got how much of what, a hash over every sample, and the options that made it.

JSON-like, for the run folder and the pictures:

- `options`: the parts and their options, the number of clients, the seed;
- `splits`: samples in the training pool (without the proxy set), validation, test and proxy set;
- `sizes`, `holdout_sizes`: client -> samples it trains on, and holds out;
- classification and recognition: `class_names`, and `counts`: client -> class -> samples it trains on;
- regression: `target_means`: client -> mean target of its training samples in the data set's own unit, null without samples;
- `unassigned`: samples of the pool that no client has;
- `hash`: SHA-256 over the ids of each split and of each client's samples; equal hashes mean the same data everywhere.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fedkd.data.datasets.base import DataInfo, Indices
from fedkd.data.partitions.base import Dealt
from fedkd.data.samples import Samples
from fedkd.foundation.parts import Part, dump


def manifest(
    info: DataInfo,
    train: Samples,
    validation: Samples,
    test: Samples,
    proxy: Samples | None,
    dealt: Dealt,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe a partition, see the module's text.

    Args:
        info: the data set.
        train: the training pool without the proxy set.
        validation: the validation part.
        test: the test part.
        proxy: the public set, if there is one.
        dealt: what each client got of the training pool.
        options: what made the partition, JSON-like.
    """
    ids = train.ids.numpy()
    sizes, held = dealt.training.sizes, dealt.holdouts.sizes
    everyone = np.concatenate([dealt.training.flat, dealt.holdouts.flat])
    described = {
        "options": dict(options),
        "splits": {
            "train": len(train),
            "validation": len(validation),
            "test": len(test),
            "proxy": 0 if proxy is None else len(proxy),
        },
        "clients": len(sizes),
        "sizes": sizes.tolist(),
        "holdout_sizes": held.tolist(),
        **_targets(info, train, dealt, sizes),
        "unassigned": len(train) - len(np.unique(everyone)),
    }
    splits = [
        ids,
        validation.ids.numpy(),
        test.ids.numpy(),
        np.empty(0, np.int64) if proxy is None else proxy.ids.numpy(),
    ]
    described["hash"] = _hash([*splits, sizes, held, ids[everyone]])
    return described


def described(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with every part replaced by its name and its own options."""
    return {
        key: {"name": _name(type(value)), **dump(value)} if isinstance(value, Part) else value
        for key, value in options.items()
    }


def _targets(info: DataInfo, train: Samples, dealt: Dealt, sizes: Indices) -> dict[str, Any]:
    owners = np.repeat(np.arange(len(sizes)), sizes)
    targets = train.targets.numpy()[dealt.training.flat]
    if info.targets.sort:
        labels = info.num_labels
        counts = np.bincount(owners * labels + targets, minlength=len(sizes) * labels)
        names = list(info.class_names) or [str(number) for number in range(labels)]
        return {"class_names": names, "counts": counts.reshape(len(sizes), labels).tolist()}
    if not info.targets.numbers:
        return {}
    sums = np.bincount(owners, weights=targets[:, 0].astype(np.float64), minlength=len(sizes))
    means = sums / np.maximum(sizes, 1) * info.target_std + info.target_mean
    return {"target_means": [float(mean) if size else None for mean, size in zip(means, sizes, strict=True)]}


def _hash(arrays: Iterable[Indices]) -> str:
    state = hashlib.sha256()
    for array in arrays:
        state.update(len(array).to_bytes(8, "little"))
        state.update(np.ascontiguousarray(array, dtype="<i8").data)
    return state.hexdigest()


def _name(part: type[Part]) -> str:
    """Return the name of a part of this package, or `module:Class` of another one."""
    family, _, name = part.__module__.rpartition(".")
    return name if family.startswith("fedkd.data.") else f"{part.__module__}:{part.__qualname__}"
