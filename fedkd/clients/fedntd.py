"""FedNTD's client: labels, and what the received network says about all classes but the true one.

Lee et al., "Preservation of the Global Knowledge by Not-True Distillation in Federated Learning" (NeurIPS 2022), equation 6:

    L = CE(p, y) + beta KL(q_global || q),   q the softmax over the classes other than y, both sides at temperature tau

Differs from the paper: nothing at tau = 1; at other temperatures the second term is multiplied by tau^2, as in the authors' code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Step, samplewise
from fedkd.foundation.options import NonNegative, Positive
from fedkd.losses import not_true_kd


@dataclass(frozen=True, kw_only=True)
class FedNTD(ClientStrategy):
    """Keeps what the received network knows about the classes that a sample does not have."""

    beta: NonNegative = 1.0
    """Weight of not-true distillation; 0 is FedAvg."""

    temperature: Positive = 1.0
    """Softens the received network and the client's own alike."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE + beta tau^2 KL(q_global || q)`."""
        assert step.teacher is not None
        divergence = not_true_kd(
            step.outputs.logits, step.teacher, step.targets, temperature=self.temperature
        )
        return super().train_loss(step) + self.beta * divergence

    def teacher(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the received weights."""
        return situation.start
