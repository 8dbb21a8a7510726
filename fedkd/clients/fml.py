"""FML's client: its own network and a shared one teach each other on the client's samples.

Shen et al., "Federated Mutual Learning" (2020), equations 3 and 4, which are deep mutual learning (Zhang et al., CVPR 2018) between
a client's own network (p) and its copy of the server's, the paper's meme model (q):

    L_own    = alpha CE(p, y) + (1 - alpha) KL(q || p)
    L_shared = beta  CE(q, y) + (1 - beta)  KL(p || q)

Only the shared network crosses, and is averaged as in FedAvg; clients keep their own ones, which may have any architecture. The shared
one is the recipe's student.

Differs from the paper: both losses are minimised in one step, by one optimiser; a teacher receives no gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Step, samplewise
from fedkd.foundation.options import Positive, Share


@dataclass(frozen=True, kw_only=True)
class FML(ClientStrategy):
    """Keeps a network of its own, and trains it and the shared one, each on the labels and on what the other says."""

    alpha: Share = 0.5
    """How much labels count for the client's own network; 1 learns nothing from the shared one."""

    beta: Share = 0.5
    """How much labels count for the shared network; 1 is FedAvg for it."""

    temperature: Positive = 1.0
    """Softens both networks where one teaches the other."""

    persistent: ClassVar[bool] = True
    carries_student: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `L_own + L_shared`."""
        own, shared = step.outputs.logits, step.outputs.carried
        assert shared is not None
        return self._mutual(step, own, shared, self.alpha) + self._mutual(step, shared, own, self.beta)

    def _mutual(
        self,
        step: Step,
        learner: Float[Tensor, "batch ... outputs"],
        teacher: Float[Tensor, "batch ... outputs"],
        share: float,
    ) -> Float[Tensor, ""]:
        supervised = step.task.supervised(learner, step.targets).mean()
        taught = step.task.divergence(learner, teacher.detach(), temperature=self.temperature).mean()
        return share * supervised + (1.0 - share) * taught
