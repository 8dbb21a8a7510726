"""FedProx's client: labels, and a pull towards the weights that were received.

Li et al., "Federated Optimization in Heterogeneous Networks" (MLSys 2020), equation 2:

    L = CE(p, y) + mu/2 |w - w_global|^2

Differs from the paper: every client trains the same number of epochs (the paper's gamma-inexact solutions are not simulated).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Step, samplewise
from fedkd.foundation.options import NonNegative


@dataclass(frozen=True, kw_only=True)
class FedProx(ClientStrategy):
    """Adds `mu/2 |w - w_global|^2` to the loss, which holds the client near the weights that it received."""

    mu: NonNegative = 0.01
    """Strength of the proximal term; 0 is FedAvg."""

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the task's loss plus the proximal term."""
        pulls = [(weight - step.memory[name]).square().sum() for name, weight in step.parameters.items()]
        return super().train_loss(step) + 0.5 * self.mu * torch.stack(pulls).sum()

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the received weights."""
        return {name: weight.clone() for name, weight in situation.start.items()}
