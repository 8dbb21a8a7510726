"""Samples: named inputs, a target and a stable id each. Everything that is trained or judged on is one of these.

>>> pair = Samples({"image": torch.zeros(2, 1, 8, 8)}, torch.tensor([3, 7]), torch.tensor([40, 41]))
>>> len(pair.take([1])), pair.take([1]).ids.tolist()
(1, [41])
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """A set of samples held in memory.

    Args:
        inputs: view name -> [N, ...] float32. The main view of images is "image" [N, channels, H, W] in [0, 1], that
            of tables is "features" [N, D], standardised. A sample may have several views. Views of symbols (characters,
            users, items) are int64, from 0.
        targets: [N] int64 classes, -1 where the class is unknown; or [N, 1] float32 numbers, standardised, NaN
            where the number is unknown; or what else the task asks for (docs/architecture.md).
        ids: [N] int64, stable and unique within the pool that the samples come from; they travel with everything
            that is said about a sample.
        owners: [N] int64, who the sample is of (a speaker, a user), where the data set says so.
    """

    inputs: Mapping[str, Tensor]
    targets: Tensor
    ids: Tensor
    owners: Tensor | None = None

    def __post_init__(self) -> None:
        sizes = {name: len(view) for name, view in self.inputs.items()} | {
            "targets": len(self.targets),
            "ids": len(self.ids),
            "owners": len(self.ids if self.owners is None else self.owners),
        }
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"the views, targets, ids and owners of samples must have the same length, got {sizes}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: "Tensor | np.ndarray | Sequence[int]") -> "Samples":
        """Return the samples at these positions, in this order; a position may be named more than once."""
        at = torch.as_tensor(indices, dtype=torch.long)
        owners = None if self.owners is None else self.owners[at]
        return Samples(
            {name: view[at] for name, view in self.inputs.items()}, self.targets[at], self.ids[at], owners
        )

    def plainly(self) -> "Samples":
        """Return the same samples, whose views lie in memory as new tensors of their shape do.

        Axes of one entry, such as the channel of grey images, may have any stride, and kernels of PyTorch choose by strides: the
        last bits of a result would depend on how the samples were read.
        """
        inputs = {name: view.reshape(-1).view(view.shape) for name, view in self.inputs.items()}
        return replace(self, inputs=inputs)


def concatenate(parts: Sequence[Samples]) -> Samples:
    """Return the samples of all parts, one after the other; the parts must have the same views."""
    views = parts[0].inputs.keys()
    owners = [part.owners for part in parts if part.owners is not None]
    return Samples(
        {name: torch.cat([part.inputs[name] for part in parts]) for name in views},
        torch.cat([part.targets for part in parts]),
        torch.cat([part.ids for part in parts]),
        torch.cat(owners) if len(owners) == len(parts) else None,
    )
