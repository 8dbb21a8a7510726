"""AMTML-KD: Liu, Zhang & Wang, "Adaptive Multi-teacher Multi-level Knowledge Distillation" (Neurocomputing 415, 2020).

Every teacher has a latent vector, and its weight on a sample is learned from how that goes with the student's features of it. With
features a_i, the vector t_k of teacher k and a vector v,

    w_ki = softmax_k(v . (t_k * a_i)),    loss = T^2 KL(sum_k w_ki p_k || p) + gate * CE(y, sum_k w_ki p_k)

with p_k and p the distributions at temperature T. Differs from the paper: the second part is an addition of ours, from which the gate alone
learns who is right, since the first one draws it to teachers that are easy to follow; hints from groups of layers are terms of their own
(`hint`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.options import NonNegative, Positive
from fedkd.objectives.terms._teachers import Tally, teachers_in
from fedkd.objectives.terms.base import Labels, Lesson, Shapes, Term


@dataclass(frozen=True, kw_only=True)
class AMTML(Term):
    """Divergence from a mixture of all teachers whose weights a gate learns for each sample, from the student's features."""

    temperature: Positive = 4.0
    """Softens student and teachers alike; the divergence is multiplied by its square."""

    gate: NonNegative = 1.0
    """Weight of the cross-entropy between labels and mixture, from which the gate alone learns; 0 leaves out what is not in the paper."""

    labels: Labels = "proxy"
    """Whose labels the gate learns from: the true ones, or those that the teachers name together."""

    student_layer: str = "features"
    """Layer of the student that the gate looks at; it does not move the student."""

    plain: ClassVar[bool] = False
    together: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @property
    def needs_targets(self) -> bool:
        """Whether the gate learns from true labels."""
        return self.gate > 0 and self.labels == "proxy"

    @property
    def of_student(self) -> tuple[str, ...]:
        """The layer that the gate looks at."""
        return (self.student_layer,)

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """What each teacher says."""
        return ("logits",)

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the gate."""
        names = teachers_in(shapes.teacher, "logits", term=self.name())
        return Gate(shapes.student[self.student_layer][0], names)

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the divergence from the mixture, and what the gate learns from."""
        layers = lesson.teacher_layers
        said = torch.stack([layers[name] for name in teachers_in(layers, "logits", term=self.name())])
        gate = cast("Gate", learned)
        weights = gate(lesson.student_layers[self.student_layer].detach())
        gate.tally.add(weights.exp().mean(dim=0))
        softened = F.log_softmax(said / self.temperature, dim=-1)
        mixture = torch.logsumexp(weights.T[..., None] + softened, dim=0)
        student = F.log_softmax(lesson.student / self.temperature, dim=-1)
        divergence = (mixture.exp() * (mixture - student)).sum(dim=-1).mean()
        value = self.temperature**2 * divergence
        if self.gate:
            sharp = torch.logsumexp(weights.T[..., None] + F.log_softmax(said, dim=-1), dim=0)
            value = value + self.gate * F.nll_loss(sharp, lesson.labels(self.labels))
        return value

    def shares(self, learned: nn.Module | None) -> dict[str, float]:
        """Return the mean of the gate's weights over the batches so far."""
        return cast("Gate", learned).tally.shares()


class Gate(nn.Module):
    """Weighs teachers on each sample; it begins with equal weights.

    Args:
        width: numbers, or channels, of the layer that it looks at.
        teachers: full names of a layer of each.
    """

    def __init__(self, width: int, teachers: Sequence[str]) -> None:
        super().__init__()
        self.tally = Tally(teachers)
        self.latent = nn.Parameter(torch.randn(len(teachers), width) / width**0.5)
        self.direction = nn.Parameter(torch.zeros(width))

    def forward(self, features: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch teachers"]:
        """Return the logarithms of the weights; of maps the largest value of each channel counts."""
        vectors = features.flatten(2).amax(dim=-1) if features.ndim > 2 else features
        return F.log_softmax((vectors * self.direction) @ self.latent.T, dim=-1)
