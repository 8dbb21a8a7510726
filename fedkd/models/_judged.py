"""A client's network with a discriminator beside it, which is trained with it and stays with the client.

A forward pass asks the network alone. What the discriminator says is worked out by a loss, from its weights:

>>> judged(layers_of(step.parameters), step.outputs.logits.softmax(dim=-1)).shape
torch.Size([32])
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.models.base import Model, Outputs, Signature, observe, run_network

JUDGED, JUDGE = "own.", "discriminator."
"""What the names of the network's weights begin with, and those of the discriminator's."""

Layers = Sequence[tuple[Tensor, Tensor]]
"""Weight and bias of each layer of a discriminator."""


@dataclass(frozen=True)
class Discriminator:
    """What a discriminator looks at, the probabilities of the classes or the features, and the width of each of its hidden layers."""

    space: Literal["answers", "features"]
    hidden: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Judged(Model):
    """A client's own network, whose outputs are those of the whole, and a discriminator of what it says."""

    own: Model
    """The client's own network."""

    discriminator: Discriminator
    """What judges it."""

    @property
    def drawn_as(self) -> Model:
        """The client's own network, which begins as it would alone."""
        return self.own.drawn_as

    @property
    def reads_symbols(self) -> bool:  # type: ignore[override]
        """As the client's own network."""
        return self.own.reads_symbols

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build both for the main view."""
        return self.build(Signature({"": shape}, num_outputs))

    def build(self, signature: Signature) -> nn.Module:
        """Build both, the discriminator for as many numbers as the network says of a sample."""
        own, width = self.own.build(signature), signature.num_outputs
        if self.discriminator.space == "features":
            width = observe(own, signature.blank(2)).features.shape[-1]
        return _Judged(own, (width, *self.discriminator.hidden, 1), tuple(signature.views))


class _Judged(nn.Module):
    def __init__(self, own: nn.Module, widths: tuple[int, ...], views: tuple[str, ...]) -> None:
        super().__init__()
        self.own, self.views = own, views
        self.discriminator = nn.ModuleList(
            [nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
        )

    def forward(self, *read: Tensor) -> Outputs:
        return run_network(self.own, dict(zip(self.views, read, strict=True)))


def layers_of(parameters: Mapping[str, Tensor]) -> Layers:
    """Return the layers of the discriminator among the parameters of a client's network."""
    own = [weight for name, weight in parameters.items() if name.startswith(JUDGE)]
    return list(zip(own[::2], own[1::2], strict=True))


def held(layers: Layers) -> Layers:
    """Return layers that no gradient reaches."""
    return [(weight.detach(), bias.detach()) for weight, bias in layers]


def judged(layers: Layers, said: Float[Tensor, "batch width"]) -> Float[Tensor, " batch"]:
    """Return the logit of each sample for being of the source; leaky ReLUs of slope .2 lie between the layers."""
    for place, (weight, bias) in enumerate(layers):
        said = F.linear(F.leaky_relu(said, 0.2) if place else said, weight, bias)
    return torch.squeeze(said, dim=-1)
