"""A graph network on neighbourhoods that were computed beforehand, so that a batch of nodes needs no other nodes.

Source: Rossi et al., "SIGN: Scalable Inception Graph Neural Networks" (2020), equation 3, with a linear last layer. With one hop
it is the mean-aggregating layer of Hamilton et al., "Inductive Representation Learning on Large Graphs" (NeurIPS 2017).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Count
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class SIGN(Model):
    """A graph network: a linear map for each number of hops, side by side, ReLU, a linear head.

    Its view holds what is so many hops away, [hops + 1, width], the node itself first; the recipe names that of `data=cora`.

    With x the features of all nodes, A the normalised adjacency and W_i, V what is learned:

        z = ReLU([x W_0, A x W_1, A^2 x W_2, ...]) V
    """

    hidden: Count = 32
    """Width of each map; the features are as many times as wide as there are maps."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build a map for each entry of the first axis; further axes are flattened.

        Raises:
            IllegalCombination: inputs of one axis.
        """
        if len(shape) < 2:
            raise IllegalCombination(
                f"model=sign takes neighbourhoods [hops + 1, width], this data has inputs of shape {list(shape)}; take data=cora with "
                "model.view=neighbourhood, or model=mlp"
            )
        return _Inception(shape[0], math.prod(shape[1:]), self.hidden, num_outputs)


class _Inception(nn.Module):
    def __init__(self, hops: int, width: int, hidden: int, num_outputs: int) -> None:
        super().__init__()
        self.hops = nn.ModuleList(nn.Linear(width, hidden) for _ in range(hops))
        self.head = nn.Linear(hops * hidden, num_outputs)

    def forward(self, x: Float[Tensor, "batch hops *_"]) -> Outputs:
        x = x.flatten(2)
        features = torch.cat([layer(x[:, hop]) for hop, layer in enumerate(self.hops)], dim=1).relu()
        return Outputs(self.head(features), features)
