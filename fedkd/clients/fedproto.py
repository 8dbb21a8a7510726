"""FedProto's client: labels, and the mean features of each class over all clients.

Tan et al., "FedProto: Federated Prototype Learning across Heterogeneous Clients" (AAAI 2022), equations 7 and 8:

    L = CE(p, y) + weight * sum_j d(C_j, C_global_j)

C_j is the mean feature vector of the client's samples of class j, C_global_j that over all clients, d the squared distance
divided by the number of features, as in the authors' code. The sum runs over the classes of the batch about which the server spoke.
The authors' code has the mean over the *samples* of the distance of each one's features from its class's global prototype;
`distance: samples` is that form.

Differs from the paper: a client answers with its own last layer, as the authors' code does too; the paper names the class of the
nearest prototype.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Stage, Step, samplewise
from fedkd.foundation.options import NonNegative


@dataclass(frozen=True, kw_only=True)
class FedProto(ClientStrategy):
    """Keeps its network; learns features whose class means are those of all clients."""

    weight: NonNegative = 1.0
    """Weight of the distance from the global prototypes; 0 is training alone."""

    distance: Literal["classes", "samples"] = "classes"
    """What is drawn to a prototype: the mean of the batch's samples of the class (paper), or each sample (the authors' code)."""

    persistent: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    receives: ClassVar[tuple[str, ...]] = ("prototypes",)

    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE + weight * sum_j |C_j - C_global_j|^2 / d` over the classes of the batch."""
        loss = step.task.supervised(step.outputs.logits, step.targets).mean()
        if not step.memory:
            return loss
        prototypes, known = step.memory["prototypes"], step.memory["known"]
        features = step.outputs.features
        member = (step.targets[:, None] == torch.arange(len(known), device=features.device)).to(features)
        counts = member.sum(dim=0)
        means = member.T @ features / counts.clamp_min(1.0)[:, None]
        apart = (means - prototypes).square().mean(dim=-1)
        return loss + self.weight * (apart * known * (counts > 0)).sum()

    @samplewise
    def sample_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE + weight * |features - C_global_y|^2 / d`, both as means over the batch."""
        loss = step.task.supervised(step.outputs.logits, step.targets).mean()
        if not step.memory:
            return loss
        prototypes, known = (step.memory[name][step.targets] for name in ("prototypes", "known"))
        apart = (step.outputs.features - prototypes).square().mean(dim=-1)
        return loss + self.weight * (apart * known).mean()

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the global prototypes [classes, width] and which classes anybody spoke about, as 0 or 1."""
        received = situation.received
        if received is None or received.kind != "prototypes" or received.counts is None:
            return {}
        values = received.values
        return {"prototypes": values, "known": (received.counts > 0).to(values.dtype)}

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        """Return training on the client's own data."""
        del situation
        loss = self.train_loss if self.distance == "classes" else self.sample_loss
        return (Stage("train", "private", loss, self.fit),)
