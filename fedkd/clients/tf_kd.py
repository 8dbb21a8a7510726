"""Teacher-free distillation: a network learns from a virtual teacher that is always right, or from one like itself.

Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization" (CVPR 2020), the form called Tf-KD_reg:

    p_d(k) = a if k is the true class y, else (1 - a)/(C - 1)
    L = (1 - alpha) CE(p, y) + alpha T^2 KL(p_d at temperature T || p at temperature T)

Differs from the paper: the divergence is multiplied by T^2, as in Hinton et al. (2015), so that its gradient does not vanish at the high
temperatures that the paper takes. The authors' code softens the teacher alone, takes the softmax of its probabilities in place of its
logarithms, and averages over classes too; that form is not offered, since it mixes two temperatures in one divergence.
"""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Step, samplewise
from fedkd.foundation.options import Positive, Share
from fedkd.losses import kd


@dataclass(frozen=True, kw_only=True)
class TfKD(ClientStrategy):
    """Learns from the labels and from a teacher that names the true class with a given confidence."""

    alpha: Share = 0.1
    """How much the virtual teacher counts against the labels; 0 learns from labels only."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Probability that the virtual teacher gives to the true class (a)."""

    temperature: Positive = 20.0
    """Softens teacher and network alike."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `(1 - alpha) CE + alpha T^2 KL`."""
        logits = step.outputs.logits
        true = torch.arange(logits.shape[-1], device=logits.device) == step.targets[:, None]
        wrong = (1.0 - self.confidence) / (logits.shape[-1] - 1)
        teacher = torch.where(true, math.log(self.confidence), math.log(wrong)).to(logits.dtype)
        taught = kd(logits, teacher, temperature=self.temperature)
        return (1.0 - self.alpha) * super().train_loss(step) + self.alpha * taught
