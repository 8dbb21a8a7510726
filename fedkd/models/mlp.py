"""A multi-layer perceptron: flattened input, hidden layers with ReLU, a linear head."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from fedkd.foundation.options import Count
from fedkd.models._layers import layers
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class MLP(Model):
    """Fully connected layers with ReLU between them."""

    hidden: tuple[Count, ...] = (64, 64)
    """Width of each hidden layer, from the input on."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the layers for inputs of any shape."""
        return _Perceptron(math.prod(shape), self.hidden, num_outputs)


class _Perceptron(nn.Module):
    def __init__(self, width: int, hidden: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        widths = (width, *hidden)
        self.body = layers(widths)
        self.head = nn.Linear(widths[-1], num_outputs)

    def forward(self, x: Tensor) -> Outputs:
        features = self.body(x.flatten(1))
        return Outputs(self.head(features), features)
