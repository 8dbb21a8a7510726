"""Feature shift: what each client's camera does to its images. Deterministic: the same client always sees the same.

>>> Shift("rotation", np.array([-45.0, 45.0]), Streams(0)).apply(samples, client=1, part="train")
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fedkd.data.samples import Samples
from fedkd.foundation.seeding import Streams

Kind = Literal["rotation", "noise", "blur"]


class Change(Protocol):
    """What is done to the samples of each client."""

    def apply(self, samples: Samples, client: int, part: Literal["train", "holdout"]) -> Samples:
        """Return all samples of this part of this client, as it sees them."""


@dataclass(frozen=True, eq=False)
class Shift:
    """A change of the images of each client.

    Args:
        kind: rotation about the centre, added Gaussian noise, or Gaussian blur.
        strengths: [clients] angle in degrees, standard deviation of the noise in units of white, or radius (standard
            deviation) of the blur in pixels.
        streams: noise is drawn from the stream `feature/<part>` of the client.
    """

    kind: Kind
    strengths: npt.NDArray[np.float64]
    streams: Streams

    def apply(self, samples: Samples, client: int, part: Literal["train", "holdout"]) -> Samples:
        """Return the samples as the client sees them; views that are not images are left alone.

        Args:
            samples: all samples of this part of this client, in their own order.
            client: number of the client.
            part: noise of the two parts is drawn apart.
        """
        strength = float(self.strengths[client])
        generator = self.streams.torch(f"feature/{part}", client=client)
        inputs = {
            name: _changed(view, self.kind, strength, generator) if view.ndim == 4 and len(view) else view
            for name, view in samples.inputs.items()
        }
        return replace(samples, inputs=inputs)


def _changed(images: Tensor, kind: Kind, strength: float, generator: torch.Generator) -> Tensor:
    if strength == 0:
        return images
    if kind == "rotation":
        return _rotated(images, strength)
    if kind == "noise":
        return (images + strength * torch.randn(images.shape, generator=generator)).clamp_(0, 1)
    return _blurred(images, strength)


def _rotated(images: Tensor, degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    cos, sin = angle.cos(), angle.sin()
    high, wide = images.shape[-2:]
    # grid coordinates run from -1 to 1 on either axis, so a rotation of pixels is not one of coordinates unless square
    turn = torch.stack(
        [torch.stack([cos, -sin * high / wide, cos * 0]), torch.stack([sin * wide / high, cos, cos * 0])]
    )
    grid = F.affine_grid(turn.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    radius = max(1, round(3 * sigma))
    steps = torch.arange(-radius, radius + 1, dtype=images.dtype)
    bell = torch.exp(-0.5 * (steps / sigma) ** 2)
    bell = (bell / bell.sum()).expand(images.shape[1], 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    across = F.conv2d(padded, bell.unsqueeze(2), groups=images.shape[1])
    return F.conv2d(across, bell.unsqueeze(3), groups=images.shape[1])
