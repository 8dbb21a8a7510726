"""A trunk with several branches, an ensemble that classifies what all of them see, and running means of trunk and branches.

Wu & Gong, "Peer Collaborative Learning for Online Knowledge Distillation" (AAAI 2021): low layers are shared, high layers are there M times, each a
peer; a classifier of its own on the concatenated features of the peers is the peer ensemble, and the temporal mean of each peer's weights,
those of the shared layers included, is a peer mean teacher. Who trains the network moves the means (`method.client=pcl`).

Differs from the paper: layers are fully connected, so that images and tables alike can be taken; all peers see the same view of a sample, where
the paper distorts each one's images on its own.
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.models._layers import layers
from fedkd.models._running_means import standing_still
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class PeerBranches(Model):
    """Fully connected layers that fork into peers; the last exit is the ensemble of what they see."""

    trunk: tuple[Count, ...] = (64,)
    """Width of each hidden layer before the fork."""

    branch: tuple[Count, ...] = (64,)
    """Width of each hidden layer of a peer."""

    peers: Count = 3
    """Number of peers, at least 2."""

    speaks: Literal["peer", "mean", "ensemble"] = "peer"
    """Whose answer counts: the first peer's, that of its running mean, which is as large, or the ensemble's (PCL-E)."""

    gives_exits: ClassVar[bool] = True
    gives_means: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a network that does not fork."""
        if self.peers < 2:
            raise InvalidOption("model.peers", self.peers, "at least 2")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build trunk, peers, ensemble and means for inputs of any shape; the means begin as what they follow."""
        return _PeerBranches(prod(shape), self, num_outputs)


class _Peers(nn.Module):
    def __init__(self, width: int, options: PeerBranches, num_outputs: int) -> None:
        super().__init__()
        self.trunk = layers((width, *options.trunk))
        forked = (width, *options.trunk)[-1]
        self.bodies = nn.ModuleList([layers((forked, *options.branch)) for _ in range(options.peers)])
        last = (forked, *options.branch)[-1]
        self.heads = nn.ModuleList([nn.Linear(last, num_outputs) for _ in range(options.peers)])

    def forward(
        self, x: Tensor
    ) -> tuple[Float[Tensor, "batch peers width"], Float[Tensor, "batch peers outputs"]]:
        shared = self.trunk(x.flatten(1))
        features = [body(shared) for body in self.bodies]
        said = [head(seen) for head, seen in zip(self.heads, features, strict=True)]
        return torch.stack(features, dim=1), torch.stack(said, dim=1)


class _PeerBranches(nn.Module):
    def __init__(self, width: int, options: PeerBranches, num_outputs: int) -> None:
        super().__init__()
        self.peers = _Peers(width, options, num_outputs)
        last = (width, *options.trunk, *options.branch)[-1]
        self.ensemble = nn.Linear(options.peers * last, num_outputs)
        self.mean = standing_still(self.peers)
        self.steps = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.speaks = options.speaks

    def forward(self, x: Tensor) -> Outputs:
        features, said = self.peers(x)
        together = self.ensemble(features.flatten(1))
        mean_features, means = self.mean(x)
        speaking = {
            "peer": (said[:, 0], features[:, 0]),
            "mean": (means[:, 0], mean_features[:, 0]),
            "ensemble": (together, features.flatten(1)),
        }[self.speaks]
        return Outputs(*speaking, exits=torch.cat([said, together[:, None]], dim=1), mean_exits=means)
