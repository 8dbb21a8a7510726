"""FedKD's client: a large network of its own and a small shared one teach each other, the more the surer they are.

Wu, Wu, Lyu, Huang & Xie, "Communication-efficient federated learning via knowledge distillation" (Nature Communications 2022; arXiv 2108.13323),
adaptive mutual distillation between a client's own network, the teacher (t), and its copy of the server's, the mentee or student (s):

    L_t = CE(p_t, y) + [ KL(p_s || p_t) + MSE(H_t, W H_s) ] / (CE(p_t, y) + CE(p_s, y))
    L_s = CE(p_s, y) + [ KL(p_t || p_s) + MSE(H_t, W H_s) ] / (CE(p_t, y) + CE(p_s, y))

H are the features of the last layer, W a linear map that is learned. Only the student crosses; its update is sent by the codec `low_rank`.

As in the authors' code the sum that divides is of means over the batch, where the paper's equations are about one sample, and the MSE is
also a mean over features.
Differs from the paper: H is one layer, and there is no term on attention, which these networks do not have; the sum is a weight, which receives no
gradient; both losses are minimised in one step, by one optimiser, and a teacher of responses receives no gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Step
from fedkd.foundation.options import NonNegative, Positive


@dataclass(frozen=True, kw_only=True)
class AdaptiveMutual(ClientStrategy):
    """Keeps a network of its own, and trains it and the shared one on the labels, and on each other as far as both are right."""

    hidden: NonNegative = 1.0
    """Weight of the distance between the features of both networks; 1 in the paper."""

    temperature: Positive = 1.0
    """Softens both networks where one teaches the other; 1 in the paper."""

    persistent: ClassVar[bool] = True
    carries_student: ClassVar[bool] = True
    aligns_features: ClassVar[bool] = True
    # A likelihood of numbers may be negative, and so might the sum that divides.
    needs_classes: ClassVar[bool] = True

    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return `L_t + L_s`; their MSE is one and the same number, which stands once, as each network is to follow its gradient once."""
        own, shared, mapped = step.outputs.logits, step.outputs.carried, step.outputs.carried_features
        assert shared is not None
        assert mapped is not None
        labels = sum(
            (step.task.supervised(said, step.targets).mean() for said in (own, shared)), own.new_zeros(())
        )
        apart = step.task.divergence(own, shared.detach(), temperature=self.temperature).mean()
        apart = apart + step.task.divergence(shared, own.detach(), temperature=self.temperature).mean()
        hidden = (step.outputs.features - mapped).square().mean()
        least = torch.finfo(labels.dtype).eps  # where both are right beyond what numbers can tell
        return labels + (apart + self.hidden * hidden) / labels.detach().clamp_min(least)
