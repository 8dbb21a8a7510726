"""FedGen's client: labels, and features that the server's generator makes.

Zhu, Hong & Zhou, "Data-Free Knowledge Distillation for Heterogeneous Federated Learning" (ICML 2021), equation 5:

    L = CE(p, y) + fade^(r - 1) [ weight * E_(y' ~ counts, z ~ G(y')) CE(head(z), y') + kl_weight * KL(E_(z ~ G(y)) head(z) || p) ]

The generator G comes down with the weights (`fedkd.strategies.feature_generator`); the network's last layer `head` learns from its
features, whose classes follow the label counts of all clients. r is the round.

Of the paper are the first two terms, `fade: 1.0` and `kl_weight: 0.0`. The authors' code has both terms of the bracket, each at least
1e-4, with `fade: 0.98` and, for MNIST, `weight: 10` and `kl_weight: 10`. No gradient flows through what the head is said to say there,
so that the KL to the mean of its words has the gradient of the code's mean of KLs.

Differs from the paper: expectations are taken over features that are made once a round, not anew at each step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Step, samplewise
from fedkd.foundation.options import Count, NonNegative, Share
from fedkd.models._generator import FeatureGenerator, generator_from, head_logits


@dataclass(frozen=True, kw_only=True)
class FedGen(ClientStrategy):
    """Its last layer also learns from generated features of all classes, those that the client does not have included."""

    weight: NonNegative = 1.0
    """Weight of the generated features; 0 is FedAvg."""

    fade: Share = 1.0
    """What is left of all that is learned from the generator from one round to the next: 1 (paper), or .98 (the authors' code)."""

    kl_weight: NonNegative = 0.0
    """Weight of the KL from what the last layer says of generated features of a sample's class to what it says of the sample: 0 (paper), or
    1 or 10 (the authors' code)."""

    samples: Count = 128
    """Features that are generated in a round; for the KL as many again, equally many of each class, rounded up."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    receives: ClassVar[tuple[str, ...]] = ("generator",)

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the loss above; before a generator has come, `CE(p, y)`."""
        loss = step.task.supervised(step.outputs.logits, step.targets).mean()
        if not step.memory:
            return loss
        said = head_logits(step.parameters, step.memory["features"])
        taught = self.weight * step.task.supervised(said, step.memory["labels"]).mean()
        if self.kl_weight:
            taught = taught + self.kl_weight * self._from_own_class(step)
        return loss + step.memory["faded"] * taught

    def _from_own_class(self, step: Step) -> Float[Tensor, ""]:
        """Return the mean over the samples of the KL to what they say from the mean of what the last layer says of their class."""
        said = head_logits(step.parameters, step.memory["of_class"]).detach()
        words = said.log_softmax(dim=-1).logsumexp(dim=1)  # of the sum, whose softmax is the mean
        return step.task.divergence(step.outputs.logits, words[step.targets]).mean()

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return features [samples, width], their classes, what is left of the weight and, for the KL, `of_class` [classes, n, width]."""
        received = situation.received
        if received is None or received.kind != "generator" or received.counts is None:
            return {}
        draw, counts = situation.draw, received.counts
        generator = generator_from(received.arrays, len(counts))
        labels = torch.multinomial(counts.double(), self.samples, replacement=True, generator=draw)
        memory = {
            "features": _made(generator, labels, draw),
            "labels": labels,
            "faded": torch.tensor(self.fade ** (situation.round - 1)),
        }
        if self.kl_weight:
            each = math.ceil(self.samples / len(counts))
            own = _made(generator, torch.arange(len(counts)).repeat_interleave(each), draw)
            memory["of_class"] = own.view(len(counts), each, -1)
        return memory


@torch.no_grad()
def _made(
    generator: FeatureGenerator, labels: Int[Tensor, " n"], draw: torch.Generator
) -> Float[Tensor, "n width"]:
    """Return a generated feature for each label."""
    made: Tensor = generator(torch.randn(len(labels), generator.sizes.noise, generator=draw), labels)
    return made
