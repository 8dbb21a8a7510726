"""Voted triplets: You et al., "Learning from Multiple Teacher Networks" (KDD 2017), sections 3.2 and 3.3.

Each teacher sees in a layer of its own which of two samples is nearer to a third one; the majority decides, and the student's layer is to
keep that order by a margin. With features h of the student, over the triplets (i, j, l) of a batch that are not a draw,

    loss = mean max(0, |h_i - h_j|^2 - |h_i - h_l|^2 + margin),   j the one that more teachers put nearer to i

Not in the paper: features are divided by the root of their mean squared distance in the batch, so that margin and weight do not
depend on their scale.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.options import NonNegative
from fedkd.objectives.terms._teachers import teachers_in
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class VotedTriplets(FeatureTerm):
    """The order of the student's distances is held to the order that most teachers see in their own layers; memory goes with the cube of the batch."""

    margin: NonNegative = 0.2
    """By how much the squared distance to the nearer sample is to be smaller than that to the other one."""

    scaled: bool = True
    """Divide features by the root of their mean squared distance; else margin and weight depend on their scale."""

    plain: ClassVar[bool] = False
    together: ClassVar[bool] = True

    def learned(self, shapes: Shapes) -> None:
        """Return nothing, after a look at whether the teachers' layers are there."""
        teachers_in(shapes.teacher, self.teacher_layer, term=self.name())

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the triplets that are not a draw; 0 where there is none."""
        del learned
        layers = lesson.teacher_layers
        names = teachers_in(layers, self.teacher_layer, term=self.name())
        votes = torch.stack([torch.sign(_further(squared_distances(layers[name]))) for name in names]).sum(0)
        apart = squared_distances(lesson.student_layers[self.student_layer])
        if self.scaled:
            apart = apart / apart.mean().clamp_min(torch.finfo(apart.dtype).tiny)
        # Each unordered pair (j, l) once; a triplet has three samples.
        many = len(apart)
        first, second = torch.triu_indices(many, many, offset=1, device=apart.device)
        decided = torch.sign(votes[:, first, second])
        lacking = (self.margin - decided * _further(apart)[:, first, second]).clamp_min(0.0)
        anchors = torch.arange(many, device=apart.device)[:, None]
        counts = (decided != 0) & (anchors != first) & (anchors != second)
        value: Tensor = torch.where(counts, lacking, 0.0).sum() / counts.sum().clamp_min(1)
        return value


def squared_distances(layer: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch batch"]:
    """Return the squared Euclidean distances of all pairs of samples, at least 0."""
    rows = layer.flatten(start_dim=1)
    length = rows.square().sum(dim=1)
    return (length[:, None] + length - 2.0 * rows @ rows.T).clamp_min(0.0)


def _further(apart: Float[Tensor, "batch batch"]) -> Float[Tensor, "batch batch batch"]:
    """Return by how much l is further from i than j is, at [i, j, l]."""
    return apart[:, None, :] - apart[:, :, None]
