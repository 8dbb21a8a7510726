"""A small residual network (He et al., 2016) with GroupNorm (Wu & He, 2018), which keeps no running statistics.

BatchNorm's statistics differ between clients and cannot be averaged or vectorised; GroupNorm has none.
"""

import itertools
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.options import Count
from fedkd.models.base import Model, Outputs, require_image


@dataclass(frozen=True, kw_only=True)
class ResNet(Model):
    """One residual block a stage, each stage after the first halves the image; takes images of at least 4 x 4 pixels."""

    channels: tuple[Count, ...] = (16, 32, 64)
    """Channels of each stage."""

    groups: Count = 4
    """Groups of GroupNorm; must divide every number of channels."""

    def __post_init__(self) -> None:
        """Refuse a network without stages."""
        if not self.channels:
            raise InvalidOption("model.channels", list(self.channels), "at least one stage")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the network for images [channels, height, width]."""
        require_image("resnet", shape, least=4)
        if any(width % self.groups for width in self.channels):
            raise IllegalCombination(
                f"model.groups={self.groups} must divide every entry of model.channels={list(self.channels)}"
            )
        return _ResNet(shape[0], self, num_outputs)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(groups, after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(groups, after)
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class _ResNet(nn.Module):
    def __init__(self, depth: int, options: ResNet, num_outputs: int) -> None:
        super().__init__()
        stem = options.channels[0]
        widths = (stem, *options.channels)
        self.stem = nn.Sequential(
            nn.Conv2d(depth, stem, 3, padding=1, bias=False), nn.GroupNorm(options.groups, stem), nn.ReLU()
        )
        self.body = nn.Sequential(
            *(
                _Block(before, after, 1 if index == 0 else 2, options.groups)
                for index, (before, after) in enumerate(itertools.pairwise(widths))
            )
        )
        self.head = nn.Linear(widths[-1], num_outputs)

    def forward(self, x: Tensor) -> Outputs:
        features = self.body(self.stem(x)).mean(dim=(2, 3))
        return Outputs(self.head(features), features)
