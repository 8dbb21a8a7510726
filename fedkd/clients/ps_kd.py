"""Progressive self-distillation: targets are softened by what the network of the round before says.

Kim et al., "Self-Knowledge Distillation with Progressive Refinement of Targets" (ICCV 2021). With P the answer of the network of one round ago:

    L = H((1 - alpha_t) y + alpha_t P(x), p(x)),   alpha_t = alpha t/T

A round is what the paper calls an epoch. In the first round there is no network of the round before, so that targets are the labels.
In a federation that averages weights, the network of the round before is the received one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation, Step, samplewise
from fedkd.foundation.options import Count, Share


@dataclass(frozen=True, kw_only=True)
class PSKD(ClientStrategy):
    """Learns from the labels and, more and more, from what it said a round ago."""

    alpha: Share = 0.8
    """How much the network of the round before counts in the end; 0 learns from labels only."""

    growth: Count = 10
    """Rounds over which that grows, linearly, to `alpha`."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the cross-entropy against softened targets."""
        assert step.teacher is not None
        share = step.memory["share"]
        log_probabilities = F.log_softmax(step.outputs.logits, dim=-1)
        past = -(F.softmax(step.teacher, dim=-1) * log_probabilities).sum(dim=-1).mean()
        return (1.0 - share) * super().train_loss(step) + share * past

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return how much the network of the round before counts in this round."""
        grown = 0.0 if situation.round == 1 else min(situation.round / self.growth, 1.0)
        return {"share": torch.tensor(self.alpha * grown)}

    def teacher(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the weights that the round starts from, which are those of the round before."""
        return situation.start
