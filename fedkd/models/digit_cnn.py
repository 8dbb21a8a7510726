"""Three convolutional networks for digits of different origins, whose published weights fit (`fedkd.data.pretrained`).

Source: S. Chen, A. Løkke, R. Gelato, R. Baburajan, K. Oei and M. Catteau, "Collaborative Coding Exam" (2026), the PyPI package `ccexam`:
its layers, their names, and what it does to an image before the first one. Differs from it: a resized image is not rounded to 256 grey levels.
"""

import itertools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.models.base import Model, Outputs, require_image

Domain = Literal["mnist", "usps", "svhn"]


class _Design(NamedTuple):
    """What an architecture reads and how wide it is.

    Args:
        side: pixels a side.
        mean, std: of each channel, with which images are standardised.
        width: of what the convolutions say.
        hidden: width of the hidden layer.
        dropout: share that is left out before each of the last two layers while training.
    """

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    width: int
    hidden: int
    dropout: float


_DESIGNS: dict[Domain, _Design] = {
    "mnist": _Design(28, (0.1307,), (0.3081,), 64 * 7 * 7, 128, 0.0),
    "usps": _Design(16, (0.2471,), (0.2994,), 64 * 4 * 4, 128, 0.3),
    "svhn": _Design(32, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), 128 * 4 * 4, 256, 0.3),
}
_LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class DigitCNN(Model):
    """A network for digits, in one of three architectures; takes grey or colour images from 0 to 1 and resizes and standardises them itself."""

    domain: Domain = "mnist"
    """Digits that the architecture is made for: mnist (28 x 28, two convolutions), usps (16 x 16, the same with BatchNorm), svhn (32 x 32 in
    colour, six convolutions with BatchNorm)."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the network for images [1 or 3, height, width]."""
        require_image("digit_cnn", shape, least=4)
        if shape[0] not in {1, len(_LUMA)}:
            raise IllegalCombination(
                f"model=digit_cnn takes images of 1 or 3 channels, this data has {shape[0]}; take model=lenet"
            )
        return _DigitCNN(self.domain, num_outputs)


class _DigitCNN(nn.Module):
    mean: Tensor
    std: Tensor
    luma: Tensor

    def __init__(self, domain: Domain, num_outputs: int) -> None:
        super().__init__()
        design = _DESIGNS[domain]
        self.side = design.side
        # Not in the state dict, whose names are those of the published weights.
        for name, values in (("mean", design.mean), ("std", design.std), ("luma", _LUMA)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
        self.features = _convolutions(domain)
        before, after = ([nn.Dropout(design.dropout)] if design.dropout else [] for _ in range(2))
        self.classifier = nn.Sequential(
            *before,
            nn.Linear(design.width, design.hidden),
            nn.ReLU(),
            *after,
            nn.Linear(design.hidden, num_outputs),
        )

    def forward(self, x: Tensor) -> Outputs:
        features = self.features(self.prepared(x)).flatten(1)
        *layers, last = self.classifier
        for layer in layers:
            features = layer(features)
        return Outputs(last(features), features)

    def prepared(self, x: Tensor) -> Tensor:
        if x.shape[1] > len(self.mean):
            x = (x * self.luma).sum(dim=1, keepdim=True)
        if x.shape[-2:] != (self.side, self.side):
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", antialias=True)
        return (x - self.mean) / self.std  # a grey image becomes as many channels as there are means


def _convolutions(domain: Domain) -> nn.Sequential:
    if domain == "svhn":
        return nn.Sequential(
            *(
                nn.Sequential(
                    *_layer(before, after, normed=True), *_layer(after, after, normed=True), nn.MaxPool2d(2)
                )
                for before, after in itertools.pairwise((3, 32, 64, 128))
            )
        )
    normed = domain == "usps"
    return nn.Sequential(
        *_layer(1, 32, normed=normed), nn.MaxPool2d(2), *_layer(32, 64, normed=normed), nn.MaxPool2d(2)
    )


def _layer(before: int, after: int, *, normed: bool) -> list[nn.Module]:
    norm = [nn.BatchNorm2d(after)] if normed else []
    return [nn.Conv2d(before, after, 3, padding=1), *norm, nn.ReLU()]
