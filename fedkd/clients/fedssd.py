"""FedSSD's client: labels, and the received network's logits, as far as it can be believed about the class and the sample.

He et al., "Learning Critically: Selective Self Distillation in Federated Learning on Non-IID Data" (IEEE Transactions on Big Data,
2022):

    L = CE(p, y) + sum_c (M_c (z_global_c - z_c))^2,   M_c = strength * max(0, a_c b - threshold),   b = 1 - sqrt(1 - p_global_y)

a_c, from 0 to 1, is how far the global network can be believed about class c (`fedkd.strategies.credibility`), b how far about the
sample: 1 where it is sure of the true class, 0 where that is out of the question for it. No credit, no constraint.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.clients._credible import Credible
from fedkd.clients.base import Step, samplewise
from fedkd.foundation.options import NonNegative, OpenFraction


@dataclass(frozen=True, kw_only=True)
class FedSSD(Credible):
    """Keeps the logits of the received network where that is right about the class and the sample."""

    strength: NonNegative = 1.0
    """Largest weight of a logit's distance before it is squared; 0 is FedAvg."""

    threshold: OpenFraction = 0.1
    """Credibility up to which a logit is not held at all."""

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `CE + sum_c (M_c (z_global_c - z_c))^2`."""
        loss = step.task.supervised(step.outputs.logits, step.targets).mean()
        if not step.memory:
            return loss
        assert step.teacher is not None
        teacher = step.teacher.detach()
        right = F.log_softmax(teacher, dim=-1).gather(-1, step.targets[:, None])
        sample: Tensor = 1.0 - torch.special.expm1(right).neg().clamp_min(0.0).sqrt()
        held = self.strength * (step.memory["credibility"] * sample - self.threshold).clamp_min(0.0)
        return loss + (held * (teacher - step.outputs.logits)).square().sum(dim=-1).mean()
