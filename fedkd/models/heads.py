"""Several heads on a shared body, whose mean answers: a head for each teacher (`fedkd.objectives.terms.tmkd`)."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedkd.foundation.options import Count
from fedkd.models._layers import layers
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class Heads(Model):
    """Fully connected layers with several linear heads; what counts is their mean, which is as cheap as one head."""

    hidden: tuple[Count, ...] = (64, 64)
    """Width of each hidden layer, from the input on."""

    heads: Count = 4
    """Number of heads."""

    gives_exits: ClassVar[bool] = True

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build body and heads for inputs of any shape."""
        return _Heads((prod(shape), *self.hidden), self.heads, num_outputs)


class _Heads(nn.Module):
    def __init__(self, widths: tuple[int, ...], heads: int, num_outputs: int) -> None:
        super().__init__()
        self.body = layers(widths)
        self.heads = nn.ModuleList([nn.Linear(widths[-1], num_outputs) for _ in range(heads)])

    def forward(self, x: Tensor) -> Outputs:
        features = self.body(x.flatten(1))
        said = torch.stack([head(features) for head in self.heads], dim=1)
        return Outputs(said.mean(dim=1), features, exits=said)
