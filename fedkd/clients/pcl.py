"""Peer collaborative learning: branches of a network learn from an ensemble of them and from the running means of each other.

Wu & Gong, "Peer Collaborative Learning for Online Knowledge Distillation" (AAAI 2021), for `model=peer_branches`, whose last exit is the ensemble e.
With M peers p_i, and q_i the peer of the mean weights w'_i:

    L = CE(p_e, y) + sum_i CE(p_i, y) + omega T^2 sum_i (KL(p_e || p_i) + 1/(M - 1) sum over j != i of KL(q_j || p_i)),  KL at temperature T
    w'_i <- a w'_i + (1 - a) w_i after each step,   a = min(1 - 1/(s + 1), 0.999) in step s, from 0 on
    omega = exp(-5 (1 - t/E)^2) in round t up to round E, then 1

The ensemble learns from the labels only. A round is what the paper calls an epoch. Where weights are averaged over clients, so are the means.

omega is the ramp of Laine & Aila, "Temporal Ensembling for Semi-Supervised Learning" (ICLR 2017).

Differs from the paper: all peers see the same view of a sample. Whether its ramp weighs the mean teachers too could not be looked up; here it does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.clients._exits import Exits, exits_of, supervised
from fedkd.clients.base import Situation, Stage, Step, samplewise
from fedkd.foundation.options import Count, NonNegative, OpenFraction, Positive
from fedkd.models._running_means import moved


@dataclass(frozen=True, kw_only=True)
class PCL(Exits):
    """Trains all exits on the labels, and all but the last on what the last one and the means of the others say."""

    weight: NonNegative = 1.0
    """Weight of what both kinds of teachers say; 0 learns from labels only."""

    means: NonNegative = 1.0
    """Weight of the mean teachers beside the ensemble; 0 leaves the ensemble alone."""

    temperature: Positive = 3.0
    """Softens teachers and peers alike."""

    decay: OpenFraction = 0.999
    """The most that a mean teacher keeps of itself in a step."""

    ramp: Count = 10
    """Rounds over which the weight of the teachers rises."""

    needs_means: ClassVar[bool] = True

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the sum of the losses of peers and ensemble."""
        *peers, ensemble = exits_of(step)
        assert step.outputs.mean_exits is not None
        means = step.outputs.mean_exits.detach().unbind(dim=1)
        loss = supervised(step, ensemble)
        for place, said in enumerate(peers):
            taught = self._divergence(step, said, ensemble.detach())
            others = [self._divergence(step, said, mean) for j, mean in enumerate(means) if j != place]
            if others:
                taught = taught + self.means * torch.stack(others).mean()
            loss = loss + supervised(step, said) + self.weight * step.memory["omega"] * taught
        return loss

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return how much the teachers count in this round."""
        short = 1.0 - min(situation.round / self.ramp, 1.0)
        return {"omega": torch.tensor(math.exp(-5.0 * short**2))}

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        """Return the training, in which the means follow each step."""
        del situation
        return (Stage("train", "private", self.train_loss, self.fit, after_step=self.follow),)

    def follow(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the mean teachers' weights after a step."""
        return moved(parameters, decay=self.decay)

    def _divergence(
        self,
        step: Step,
        said: Float[Tensor, "batch ... outputs"],
        teacher: Float[Tensor, "batch ... outputs"],
    ) -> Float[Tensor, ""]:
        return step.task.divergence(said, teacher, temperature=self.temperature).mean()
