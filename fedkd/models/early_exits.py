"""A network with an exit after each hidden layer.

Zhang et al., "Be Your Own Teacher" (ICCV 2019): a shallow classifier, which is a bottleneck and a linear layer, stands behind each section of
the network; the bottleneck brings what it sees to the width of the deepest features.

Differs from the paper: sections are fully connected layers, so that images and tables alike can be taken; the paper's are convolutional.
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class EarlyExits(Model):
    """Fully connected layers with ReLU, an exit after each; the deepest one is the network's answer."""

    hidden: tuple[Count, ...] = (64, 64, 64)
    """Width of each hidden layer, at least two."""

    gives_exits: ClassVar[bool] = True
    gives_exit_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a network that has one exit only."""
        if len(self.hidden) < 2:
            raise InvalidOption("model.hidden", list(self.hidden), "at least two layers")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build layers, bottlenecks and heads for inputs of any shape."""
        return _EarlyExits(prod(shape), self.hidden, num_outputs)


class _EarlyExits(nn.Module):
    def __init__(self, width: int, hidden: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        before = (width, *hidden[:-1])
        self.sections = nn.ModuleList(
            [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in zip(before, hidden, strict=True)]
        )
        self.bottlenecks = nn.ModuleList(
            [nn.Sequential(nn.Linear(own, hidden[-1]), nn.ReLU()) for own in hidden[:-1]]
        )
        self.heads = nn.ModuleList([nn.Linear(hidden[-1], num_outputs) for _ in hidden])

    def forward(self, x: Tensor) -> Outputs:
        seen, reached = [], x.flatten(1)
        for section in self.sections:
            reached = section(reached)
            seen.append(reached)
        features = [bottleneck(own) for bottleneck, own in zip(self.bottlenecks, seen[:-1], strict=True)]
        features.append(seen[-1])
        said = [head(own) for head, own in zip(self.heads, features, strict=True)]
        return Outputs(
            said[-1],
            features[-1],
            exits=torch.stack(said, dim=1),
            exit_features=torch.stack(features, dim=1),
        )
