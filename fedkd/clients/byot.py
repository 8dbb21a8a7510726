"""Be your own teacher: shallow exits of a network learn from its deepest one.

Zhang et al., "Be Your Own Teacher" (ICCV 2019), for `model=early_exits`. With exits 1 .. C, what they say (q) and what they see (F):

    L = CE(q_C, y) + sum over i < C of (1 - alpha) CE(q_i, y) + alpha KL(q_C || q_i) + lambda ||F_i - F_C||^2

The deepest exit is a teacher without a gradient.

Differs from the paper: the squared distance of features is a mean over their width; the divergence is multiplied by T^2 where T is not 1.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients._exits import Exits, exits_of, supervised
from fedkd.clients.base import Step, samplewise
from fedkd.foundation.options import NonNegative, Positive, Share


@dataclass(frozen=True, kw_only=True)
class BYOT(Exits):
    """Trains all exits on the labels, and all but the deepest on what that says and sees."""

    alpha: Share = 0.3
    """How much the deepest exit counts against the labels for a shallow one; 0 is deep supervision by labels."""

    hint: NonNegative = 0.03
    """Weight of the distance between what a shallow exit and the deepest one see (lambda)."""

    temperature: Positive = 1.0
    """Softens teacher and learners alike."""

    needs_exit_features: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of the losses of all exits."""
        *shallow, deepest = exits_of(step)
        assert step.outputs.exit_features is not None
        *seen, hinted = step.outputs.exit_features.unbind(dim=1)
        loss = supervised(step, deepest)
        for said, features in zip(shallow, seen, strict=True):
            taught = step.task.divergence(said, deepest.detach(), temperature=self.temperature)
            loss = loss + (1.0 - self.alpha) * supervised(step, said) + self.alpha * taught.mean()
            loss = loss + self.hint * (features - hinted.detach()).square().mean()
        return loss
