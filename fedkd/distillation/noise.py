"""Noise on what a student sees while it learns; teachers have spoken about clean samples (Noisy Student: Xie et al., CVPR 2020).

Differs from the paper: Gaussian noise, dropped values and translations in place of RandAugment, which is made for colour images;
dropout and stochastic depth belong to the student's model.

>>> Noise(gaussian=0.2, shifted=1).apply({"image": images}, generator)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from fedkd.foundation.options import Index, NonNegative, OpenFraction
from fedkd.foundation.parts import Part


@dataclass(frozen=True, kw_only=True)
class Noise(Part):
    """What is done to each batch of inputs, drawn anew each time; nothing, if nothing is said."""

    gaussian: NonNegative = 0.0
    """Standard deviation of the noise that is added, in units of white, or of a standardised feature."""

    dropped: OpenFraction = 0.0
    """Share of the numbers that are set to 0; the others stay as they are."""

    shifted: Index = 0
    """Most pixels by which each image is moved along either axis; what comes in is 0. Tables stay where they are."""

    def apply(
        self, inputs: Mapping[str, Shaped[Tensor, "batch ..."]], generator: torch.Generator
    ) -> dict[str, Shaped[Tensor, "batch ..."]]:
        """Return the views of a batch with noise; symbols stay what they are."""
        return {
            view: self._changed(x, generator) if x.is_floating_point() else x for view, x in inputs.items()
        }

    def _changed(
        self, x: Float[Tensor, "batch ..."], generator: torch.Generator
    ) -> Float[Tensor, "batch ..."]:
        if self.shifted and x.ndim == 4:
            x = _moved(x, self.shifted, generator)
        if self.gaussian:
            x = x + self.gaussian * torch.randn(x.shape, generator=generator)
        if self.dropped:
            x = x * (torch.rand(x.shape, generator=generator) >= self.dropped)
        return x


def _moved(
    images: Float[Tensor, "batch channels h w"], most: int, generator: torch.Generator
) -> Float[Tensor, "batch channels h w"]:
    """Return each image moved by whole pixels of its own along both axes."""
    padded = torch.nn.functional.pad(images, (most,) * 4)
    count, _, high, wide = images.shape
    down, right = torch.randint(2 * most + 1, (2, count), generator=generator)
    rows = (down[:, None] + torch.arange(high))[:, None, :, None]
    columns = (right[:, None] + torch.arange(wide))[:, None, None, :]
    where = torch.arange(count)[:, None, None, None], torch.arange(images.shape[1])[:, None, None]
    return padded[(*where, rows, columns)]
