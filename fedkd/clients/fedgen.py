"""FedGen's client: labels, and features that the server's generator makes.

Zhu, Hong & Zhou, "Data-Free Knowledge Distillation for Heterogeneous Federated Learning" (ICML 2021), equation 5:

    L = CE(p, y) + weight * E_(y' ~ counts, z ~ G(y')) CE(head(z), y')

The generator G comes down with the weights (`fedkd.strategies.feature_generator`); the network's last layer `head` learns from its
features, whose classes follow the label counts of all clients.

Differs from the paper: the expectation is taken over `samples` features that are made once a round, not anew at each step. Not here:
the authors' code lets the term fade by .98 a round, and adds a KL towards what the head says of a generated feature of the same label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Step, samplewise
from fedkd.foundation.options import Count, NonNegative
from fedkd.models._generator import generator_from, head_logits


@dataclass(frozen=True, kw_only=True)
class FedGen(ClientStrategy):
    """Its last layer also learns from generated features of all classes, those that the client does not have included."""

    weight: NonNegative = 1.0
    """Weight of the generated features; 0 is FedAvg."""

    samples: Count = 128
    """Features that are generated in a round."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    receives: ClassVar[tuple[str, ...]] = ("generator",)

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE(p, y) + weight * mean CE(head(z), y')` over the generated features z of the classes y'."""
        loss = step.task.supervised(step.outputs.logits, step.targets).mean()
        if not step.memory:
            return loss
        said = head_logits(step.parameters, step.memory["features"])
        return loss + self.weight * step.task.supervised(said, step.memory["labels"]).mean()

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return generated features [samples, width] and their classes."""
        received = situation.received
        if received is None or received.kind != "generator" or received.counts is None:
            return {}
        draw, counts = situation.draw, received.counts
        generator = generator_from(received.arrays, len(counts))
        labels = torch.multinomial(counts.double(), self.samples, replacement=True, generator=draw)
        noise = torch.randn(self.samples, generator.sizes.noise, generator=draw)
        with torch.no_grad():
            return {"features": generator(noise, labels), "labels": labels}
