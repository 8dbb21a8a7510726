"""FedGKT's client: its labels, and what the server's larger network said last about each of its own samples.

He, Annavaram & Avestimehr, "Group Knowledge Transfer: Federated Learning of Large CNNs at the Edge" (NeurIPS 2020), the
loss of the edge. With p_s and p_k the probabilities of server and client at temperature T:

    L_k = CE(z_k, y) + weight T^2 KL(p_s || p_k),   z_k the client's logits

What the server said comes by sample id. In the first round it has said nothing, and labels teach alone. T^2 is as in the authors' code.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Step, samplewise
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class FedGKT(ClientStrategy):
    """Keeps its network; learns from its labels and from what the server said about each of its own samples."""

    weight: NonNegative = 1.0
    """Weight of what the server said; 0 is training alone."""

    temperature: Positive = 3.0
    """Softens server and client alike."""

    persistent: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    receives: ClassVar[tuple[str, ...]] = ("logits",)
    told_of_own: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE + weight T^2 KL`, or the CE alone before the server has said anything."""
        loss = step.task.supervised(step.outputs.logits, step.targets).mean()
        if step.teacher is None:
            return loss
        apart = step.task.divergence(step.outputs.logits, step.teacher, temperature=self.temperature)
        return loss + self.weight * apart.mean()
