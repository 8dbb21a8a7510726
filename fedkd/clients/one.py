"""On-the-fly native ensemble: branches learn from the gated ensemble of themselves.

Lan et al., "Knowledge Distillation by On-the-Fly Native Ensemble" (NeurIPS 2018), for `model=branches`, whose last exit is the ensemble e:

    L = sum over branches of CE(p_i, y) + CE(p_e, y) + T^2 sum over branches of KL(p_e || p_i), the last at temperature T

The ensemble, with its gate, learns from the labels only.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.clients._exits import Exits, exits_of, supervised
from fedkd.clients.base import Step, samplewise
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class ONE(Exits):
    """Trains all exits on the labels, and all but the last on what the last one says."""

    weight: NonNegative = 1.0
    """Weight of what the ensemble says; 0 learns from labels only."""

    temperature: Positive = 3.0
    """Softens ensemble and branches alike."""

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of the losses of branches and ensemble."""
        *branches, ensemble = exits_of(step)
        loss = supervised(step, ensemble)
        for said in branches:
            taught = step.task.divergence(said, ensemble.detach(), temperature=self.temperature)
            loss = loss + supervised(step, said) + self.weight * taught.mean()
        return loss
