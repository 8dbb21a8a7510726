"""Online distillation by collaborative learning: networks side by side learn from an ensemble of themselves.

Guo et al., "Online Knowledge Distillation via Collaborative Learning" (CVPR 2020). With logits z_1 .. z_m of one sample:

    L_i = CE(p_i, y) + lambda T^2 KL(softmax(t / T) || softmax(z_i / T)),   t the teacher's logits:
    naive:      t = z_j of the network j with the least cross-entropy on the sample
    min_logit:  t_c = min over j of (z_j,c - z_j,y): the least margin of the true class, so the hardest target
    mean:       t = the mean of the z_j

The paper's other two rules (KDCL-Linear and KDCL-General) find weights by an optimisation on each batch or on validation data, and are not here.
The mean is their equal-weighted form.

Differs from the paper: all networks see the same view of a sample; the paper distorts each one's images on its own.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.clients._exits import Exits, exits_of, supervised
from fedkd.clients.base import Step, samplewise
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class KDCL(Exits):
    """Trains all exits on the labels and on one teacher that is made of all of them."""

    rule: Literal["naive", "min_logit", "mean"] = "min_logit"
    """How the teacher is made of the networks."""

    weight: NonNegative = 1.0
    """Weight of distillation (lambda)."""

    temperature: Positive = 2.0
    """Softens teacher and networks alike."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of the networks' losses."""
        exits = exits_of(step)
        loss = sum((supervised(step, said) for said in exits), start=step.outputs.logits.new_zeros(()))
        teacher = self.teacher_of(torch.stack(exits).detach(), step)
        for said in exits:
            taught = step.task.divergence(said, teacher, temperature=self.temperature)
            loss = loss + self.weight * taught.mean()
        return loss

    def teacher_of(
        self, logits: Float[Tensor, "networks batch classes"], step: Step
    ) -> Float[Tensor, "batch classes"]:
        """Return the teacher's logits."""
        if self.rule == "mean":
            return logits.mean(dim=0)
        true = step.targets[None, :, None].expand(len(logits), -1, 1)
        if self.rule == "min_logit":
            return (logits - logits.gather(2, true)).amin(dim=0)
        right = torch.log_softmax(logits, dim=-1).gather(2, true)[:, :, 0]
        best = right.argmax(dim=0)[None, :, None].expand(1, -1, logits.shape[2])
        return logits.gather(0, best)[0]
