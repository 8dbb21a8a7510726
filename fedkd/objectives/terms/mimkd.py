"""Mutual information maximisation: Shrivastava, Qi & Ordonez (CVPR Workshops 2023); `fedkd.losses.MIMKD`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, NonNegative
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class MIMKD(FeatureTerm):
    """A bound on what student and teachers tell of each other, by critics that learn to tell pairs of one sample from pairs of two."""

    global_weight: NonNegative = 1.0
    """Weight of pairs of vectors; of a map the mean over its places counts."""

    local_weight: NonNegative = 1.0
    """Weight of pairs of a place of the student's map and the teachers' vector; counts where the student's layer is a map."""

    feature_weight: NonNegative = 1.0
    """Weight of pairs of the same place of both maps; counts where both layers are maps."""

    width: Count = 128
    """Width of what critics compare."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the critics."""
        return losses.MIMKD(
            *self.shapes(shapes),
            global_weight=self.global_weight,
            local_weight=self.local_weight,
            feature_weight=self.feature_weight,
            width=self.width,
        )

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the weighted sum of the bounds, negative."""
        assert isinstance(learned, losses.MIMKD)
        mine, theirs = self.layers(lesson)
        return learned(mine, theirs)  # type: ignore[no-any-return]
