"""Critics, which learn to tell pairs of one sample from pairs of two, and what the student learns of them.

>>> loss = MIMKD((32, 7, 7), (64,))
>>> optimizer = torch.optim.Adam([*student.parameters(), *loss.parameters()])
>>> loss(student_maps, teacher_features).backward()
"""

import math
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses.information import mimkd
from fedkd.losses.reductions import Reduction
from fedkd.losses.regressors import Regressor, Shape


class Critic(nn.Module):
    """Scores pairs: `T = a(student) . b(teacher) / sqrt(width)`, a and b networks of two layers, at every place of a map.

    Args:
        student: shape of the student's features.
        teacher: shape of the teacher's features.
        size: height and width of the map at whose places pairs are scored, of the student and of the teacher; none for the mean over all places.
        width: of what both networks say.

    Source: after the "encode and dot product" critic of Hjelm et al., "Learning Deep Representations by Mutual Information Estimation and
    Maximization" (ICLR 2019).
    """

    def __init__(
        self, student: Shape, teacher: Shape, *, size: tuple[tuple[int, ...], tuple[int, ...]], width: int
    ) -> None:
        super().__init__()
        self.student, self.teacher = (
            Regressor(shape, (width, *places), hidden=1)
            for shape, places in zip((student, teacher), size, strict=True)
        )
        self._scale = 1 / math.sqrt(width)

    def forward(
        self, student: Float[Tensor, "batch ..."], teacher: Float[Tensor, "batch ..."]
    ) -> Float[Tensor, "batch batch places"]:
        """Return the score of every two samples, at every place; a vector has one place, and stands at all of the other side's."""
        mine, theirs = (
            said.flatten(2) if said.dim() > 2 else said[:, :, None]
            for said in (self.student(student), self.teacher(teacher))
        )
        scores: Tensor = mine.permute(2, 0, 1) @ theirs.permute(2, 1, 0)
        return self._scale * scores.permute(1, 2, 0)


class MIMKD(nn.Module):
    """Mutual information maximisation with its critics: the weighted sum of `mimkd` of up to three kinds of pairs.

    Global pairs are the student's vector and the teacher's; local ones what the student says at a place and the teacher's vector; pairs of
    features what both say at a place, on maps of the smaller of both sizes. Where a map is to be a vector, the mean over its places is taken. So
    vectors have global pairs alone, maps of the student local ones too, and maps of both networks all three.

    Args:
        student: shape of the student's features, (width,) or (channels, height, width).
        teacher: shape of the teacher's features, likewise.
        global_weight: weight of the global pairs, >= 0.
        local_weight: weight of the local pairs; counts where the student has maps.
        feature_weight: weight of the pairs of features; counts where both have maps.
        width: of what critics compare.

    Raises:
        IllegalCombination: features of another shape, or no pairs with a weight.

    Differs from the paper: one layer of either network serves for all pairs, where the paper takes vectors from the last layers and maps from
    layers inside; several such losses can have other layers for each. Not taken from the paper: the form of the critics, which are like those of
    Hjelm et al. (ICLR 2019) and smaller, and the weights. Each sample is compared with all others of the batch, so that memory grows with the
    square of the batch, times the places of a map.
    Source: Shrivastava, Qi & Ordonez, "Estimating and Maximizing Mutual Information for Knowledge Distillation" (CVPR Workshops 2023).
    """

    def __init__(
        self,
        student: Shape,
        teacher: Shape,
        *,
        global_weight: float = 1.0,
        local_weight: float = 1.0,
        feature_weight: float = 1.0,
        width: int = 128,
    ) -> None:
        super().__init__()
        shapes = f"these layers have shapes {list(student)} and {list(teacher)}"
        if not {len(student), len(teacher)} <= {1, 3}:
            raise IllegalCombination(
                f"mimkd needs vectors [width] or feature maps [channels, height, width]; {shapes}"
            )
        mine, theirs = student[1:], teacher[1:]
        sizes: dict[str, tuple[Shape, Shape]] = {"global": ((), ())}
        if mine:
            sizes["local"] = (mine, ())
        if mine and theirs:
            smaller = tuple(min(pair) for pair in zip(mine, theirs, strict=True))
            sizes["feature"] = (smaller, smaller)
        weights = {"global": global_weight, "local": local_weight, "feature": feature_weight}
        self.weights: Mapping[str, float] = {kind: weights[kind] for kind in sizes if weights[kind]}
        if not self.weights:
            raise IllegalCombination(
                f"mimkd has nothing to learn: {shapes}, which have {' and '.join(sizes)} pairs, and their weights are 0"
            )
        self.critics = nn.ModuleDict(
            {kind: Critic(student, teacher, size=sizes[kind], width=width) for kind in self.weights}
        )

    def forward(
        self,
        student: Float[Tensor, "batch ..."],
        teacher: Float[Tensor, "batch ..."],
        *,
        reduction: Reduction = "mean",
    ) -> Float[Tensor, "*batch"]:
        """Return the weighted sum of `mimkd` of the pairs; critics and student lower it together."""
        known = teacher.detach()
        parts = [
            weight * mimkd(self.critics[kind](student, known), reduction=reduction)
            for kind, weight in self.weights.items()
        ]
        return sum(parts[1:], start=parts[0])
