"""Logistic regression (for numbers: linear regression): one affine map of the flattened input."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class Logistic(Model):
    """One linear layer on the flattened input; features are the input itself."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the layer for inputs of any shape."""
        return _Linear(math.prod(shape), num_outputs)


class _Linear(nn.Module):
    def __init__(self, width: int, num_outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, num_outputs)

    def forward(self, x: Tensor) -> Outputs:
        features = x.flatten(1)
        return Outputs(self.head(features), features)
