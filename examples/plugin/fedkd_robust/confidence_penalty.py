"""A penalty on confident answers (Pereyra et al., 2017): cross-entropy minus beta times the entropy of the prediction.

Source: "Regularizing Neural Networks by Penalizing Confident Output Distributions" (ICLR workshop, 2017), section 3.
Here it serves clients who see few classes, and are too sure of them when they teach.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fedkd.clients.base import Step
from fedkd.clients.codistillation import CoDistillation
from fedkd.foundation.options import NonNegative


@dataclass(frozen=True, kw_only=True)
class ConfidencePenalty(CoDistillation):
    """Co-distillation whose clients are rewarded for the entropy of what they say about their own samples."""

    beta: NonNegative = 0.1
    """Weight of the entropy; 0 is plain co-distillation."""

    needs_classes: ClassVar[bool] = True

    def train_loss(self, step: Step) -> Tensor:
        """Return `CE - beta H(p)`, the mean over the batch, in nats."""
        log_probabilities = step.outputs.logits.log_softmax(dim=-1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=-1)
        return super().train_loss(step) - self.beta * entropy.mean()
