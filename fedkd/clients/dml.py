"""Deep mutual learning: networks side by side learn from the labels and from each other.

Zhang et al., "Deep Mutual Learning" (CVPR 2018), with K networks on the same batch:

    L_k = CE(p_k, y) + 1/(K - 1) sum over l != k of KL(p_l || p_k)

Differs from the paper: all networks take their step at once, on what the others said before it; in the paper one after the other.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.clients._exits import Exits, exits_of, supervised
from fedkd.clients.base import Step, samplewise
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class DML(Exits):
    """Trains all exits on the labels, and each on what the others say."""

    weight: NonNegative = 1.0
    """Weight of what the others say; 0 trains each network alone."""

    temperature: Positive = 1.0
    """Softens teachers and learners alike; 1 in the paper."""

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of the networks' losses."""
        exits = exits_of(step)
        loss = sum((supervised(step, said) for said in exits), start=step.outputs.logits.new_zeros(()))
        for learner in range(len(exits)):
            for teacher in range(len(exits)):
                if teacher != learner:
                    taught = step.task.divergence(
                        exits[learner], exits[teacher].detach(), temperature=self.temperature
                    )
                    loss = loss + self.weight / (len(exits) - 1) * taught.mean()
        return loss
