"""A trunk with several branches and a gate that mixes their answers.

Lan et al., "Knowledge Distillation by On-the-Fly Native Ensemble" (NeurIPS 2018): low layers are shared, high layers are there M times, and a
gate, a fully connected layer with softmax on what the trunk says, weighs the logits of the branches: `z_e = sum_i g_i z_i`.

Differs from the paper: layers are fully connected, so that images and tables alike can be taken; the paper's networks are convolutional.
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.models._layers import layers
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class Branches(Model):
    """Fully connected layers that fork; the last exit is the gated mean of the branches."""

    trunk: tuple[Count, ...] = (64,)
    """Width of each hidden layer before the fork."""

    branch: tuple[Count, ...] = (64,)
    """Width of each hidden layer of a branch."""

    branches: Count = 3
    """Number of branches, at least 2."""

    speaks: Literal["branch", "ensemble"] = "branch"
    """Whose answer counts: the first branch's, which is as large as a network without branches, or the gated mean's (ONE-E)."""

    gives_exits: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a network that does not fork."""
        if self.branches < 2:
            raise InvalidOption("model.branches", self.branches, "at least 2")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build trunk, branches and gate for inputs of any shape."""
        return _Branches(prod(shape), self, num_outputs)


class _Branches(nn.Module):
    def __init__(self, width: int, options: Branches, num_outputs: int) -> None:
        super().__init__()
        self.trunk = layers((width, *options.trunk))
        forked = (width, *options.trunk)[-1]
        self.bodies = nn.ModuleList([layers((forked, *options.branch)) for _ in range(options.branches)])
        last = (forked, *options.branch)[-1]
        self.heads = nn.ModuleList([nn.Linear(last, num_outputs) for _ in range(options.branches)])
        self.gate = nn.Linear(forked, options.branches)
        self.mixes = options.speaks == "ensemble"

    def forward(self, x: Tensor) -> Outputs:
        shared = self.trunk(x.flatten(1))
        features = [body(shared) for body in self.bodies]
        said = torch.stack([head(seen) for head, seen in zip(self.heads, features, strict=True)], dim=1)
        mixed = (torch.softmax(self.gate(shared), dim=-1)[:, :, None] * said).sum(dim=1)
        exits = torch.cat([said, mixed[:, None]], dim=1)
        return Outputs(mixed if self.mixes else said[:, 0], features[0], exits=exits)
