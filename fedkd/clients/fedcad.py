"""FedCAD's client: labels, and what the received network says, as far as it can be believed about the class.

He et al., "Class-Wise Adaptive Self Distillation for Federated Learning on Non-IID Data" (AAAI 2022, student abstract):

    L = CE(p, y) + weight * a_y tau^2 KL(p_global || p)

a_y, from 0 to 1, is how confident the global network is about class y on the server's labelled samples
(`fedkd.strategies.credibility`).

Differs from the paper: its two pages say in words that the term is weighted class by class by the global network's performance; the
formula above is one reading of them.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.clients._credible import Credible
from fedkd.clients.base import Step, samplewise
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class FedCAD(Credible):
    """Keeps what the received network knows about the classes that it knows well."""

    weight: NonNegative = 1.0
    """Weight of distillation for a class that the global network is sure of; 0 is FedAvg."""

    temperature: Positive = 1.0
    """Softens the received network and the client's own alike."""

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE + weight * a_y tau^2 KL(p_global || p)`."""
        loss = step.task.supervised(step.outputs.logits, step.targets).mean()
        if not step.memory:
            return loss
        assert step.teacher is not None
        divergence = step.task.divergence(step.outputs.logits, step.teacher, temperature=self.temperature)
        return loss + self.weight * (step.memory["credibility"][step.targets] * divergence).mean()
