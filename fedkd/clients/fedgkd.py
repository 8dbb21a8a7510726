"""FedGKD's client: labels, and what the mean of the last global networks says.

Yao et al., "Local-Global Knowledge Distillation in Heterogeneous Federated Learning with Non-IID Data" (2021), equation 4:

    L = CE(p, y) + gamma/2 KL(p_teacher || p)

The teacher is the mean of the last M global networks, which the server sends from the second round on
(`fedkd.strategies.past_averages`); before, and with M = 1, it is the received network itself.

Differs from the paper: the divergence is the task's own, at a temperature (1 by default), so that numbers can be predicted as well.
The authors' code multiplies by gamma, not by gamma/2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Step, samplewise
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class FedGKD(ClientStrategy):
    """Is held near what the past global networks say about its samples."""

    gamma: NonNegative = 0.2
    """Strength of distillation, of which half counts; 0 is FedAvg."""

    temperature: Positive = 1.0
    """Softens teacher and client alike."""

    receives: ClassVar[tuple[str, ...]] = ("weights",)

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the task's loss plus `gamma/2` times the divergence from the teacher."""
        assert step.teacher is not None
        divergence = step.task.divergence(step.outputs.logits, step.teacher, temperature=self.temperature)
        return super().train_loss(step) + 0.5 * self.gamma * divergence.mean()

    def teacher(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the mean of past global networks if it came, else the received weights."""
        received = situation.received
        return situation.start if received is None or received.kind != "weights" else received.arrays
