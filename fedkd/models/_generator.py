"""Generators: from noise and a class, what the last layer of a network would see of a sample of that class, or a sample.

>>> generator = FeatureGenerator(classes=10, noise=32, hidden=64, width=64)
>>> generator(noise, labels).shape
torch.Size([128, 64])
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

Values = Literal["unit", "standard"]
"""What generated inputs are made of: numbers from 0 to 1, as images are here, or of mean 0 and variance 1 over a batch, as columns of tables are."""


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


class SampleGenerator(nn.Module):
    """Inputs of a network, of any shape, out of noise and a class.

    Args:
        shape: shape of one input.
        classes: number of classes.
        noise, hidden: numbers of noise, hidden units.
        values: what inputs are made of.
    """

    def __init__(
        self, shape: tuple[int, ...], *, classes: int, noise: int, hidden: int, values: Values
    ) -> None:
        super().__init__()
        self.shape, self.noise, self.values = shape, noise, values
        self.body = FeatureGenerator(Sizes(classes, noise, hidden, math.prod(shape)))

    def forward(self, noise: Float[Tensor, "n noise"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n ..."]:
        """Return samples [n, *shape]."""
        made: Tensor = self.body(noise, labels)
        if self.values == "unit":
            made = torch.sigmoid(made)
        else:
            spread, mean = torch.var_mean(made, dim=0, correction=0)
            made = (made - mean) * (spread + 1e-5).rsqrt()
        return made.reshape(len(made), *self.shape)


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
    weights: Mapping[str, Tensor], features: Float[Tensor, "*n width"]
) -> Float[Tensor, "*n outputs"]:
    """Return what the last layer of a network says about features; it is the linear layer `head` of fedkd's models."""
    return F.linear(features, weights["head.weight"], weights["head.bias"])
