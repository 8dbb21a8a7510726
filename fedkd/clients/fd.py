"""The client of FD: labels, and what the others say about each label.

Jeong et al., "Communication-Efficient On-Device Machine Learning: Federated Distillation and Augmentation under Non-IID
Private Data" (2018), Algorithm 1:

    L = CE(p, y) + gamma tau^2 KL(softmax(t_y / tau) || softmax(z / tau)),   t_y the mean logits that the others have for label y

Differs from the paper: mean logits are computed after local training with the final network, where the paper
accumulates them over the local iterations. A label about which nobody else said anything adds nothing to the loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Step, samplewise
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class FD(ClientStrategy):
    """Learns from its labels and from what the other clients say, on average, about each label."""

    gamma: NonNegative = 0.1
    """Weight of the distillation term; 0 is training alone."""

    temperature: Positive = 1.0
    """Softens the mean logits and the client's own alike."""

    persistent: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE + gamma KL(softmax(mean logits of the label) || p)`."""
        loss = super().train_loss(step)
        if not step.memory:
            return loss
        teacher = step.memory["means"][step.targets]
        known = step.memory["known"][step.targets]
        divergence = step.task.divergence(step.outputs.logits, teacher, temperature=self.temperature)
        return loss + self.gamma * (divergence * known).mean()

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the mean logits of each label [labels, classes] and which labels anybody spoke about, as 0 or 1."""
        if situation.received is None or situation.received.counts is None:
            return {}
        values = situation.received.values
        return {"means": values, "known": (situation.received.counts > 0).to(values.dtype)}
