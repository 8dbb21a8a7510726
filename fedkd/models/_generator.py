"""A generator of features: from noise and a class, what the last layer of a network would see of a sample of that class.

>>> generator = FeatureGenerator(classes=10, noise=32, hidden=64, width=64)
>>> generator(noise, labels).shape
torch.Size([128, 64])
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class Sizes(NamedTuple):
    """Sizes of a generator: number of classes, numbers of noise, hidden units, features."""

    classes: int
    noise: int
    hidden: int
    width: int


class FeatureGenerator(nn.Module):
    """One hidden layer over noise and the class as a one-hot vector.

    Source: Zhu, Hong & Zhou, "Data-Free Knowledge Distillation for Heterogeneous Federated Learning" (ICML 2021), section 4. The
    authors' generator has batch normalisation before its ReLU, which is left out.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.hidden = nn.Linear(sizes.noise + sizes.classes, sizes.hidden)
        self.out = nn.Linear(sizes.hidden, sizes.width)

    def forward(self, noise: Float[Tensor, "n noise"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n width"]:
        """Return features."""
        classes = F.one_hot(labels, self.sizes.classes).to(noise)
        features: Tensor = self.out(F.relu(self.hidden(torch.cat([noise, classes], dim=-1))))
        return features


def generator_from(weights: Mapping[str, Tensor], classes: int) -> FeatureGenerator:
    """Return the generator that these weights are of.

    Raises:
        ValueError, KeyError, RuntimeError: they are not a generator's, or another number of classes.
    """
    hidden, inputs = weights["hidden.weight"].shape
    # On the meta device nothing is drawn for weights that are replaced at once.
    with torch.device("meta"):
        generator = FeatureGenerator(Sizes(classes, inputs - classes, hidden, len(weights["out.weight"])))
    generator.load_state_dict(dict(weights), assign=True)
    return generator


def head_logits(
    weights: Mapping[str, Tensor], features: Float[Tensor, "n width"]
) -> Float[Tensor, "n outputs"]:
    """Return what the last layer of a network says about features; it is the linear layer `head` of fedkd's models."""
    return F.linear(features, weights["head.weight"], weights["head.bias"])
