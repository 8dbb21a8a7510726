"""Variational information distillation: Ahn et al. (CVPR 2019); `fedkd.losses.VID`."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Positive
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class VID(FeatureTerm):
    """Likelihood of the teachers' layer given the student's; a regressor and one variance a channel are learned."""

    variance: Positive = 5.0
    """Variance of every channel at the beginning."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the regressor with its variances."""
        return losses.VID(*self.shapes(shapes), variance=self.variance)

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean negative log-likelihood."""
        assert isinstance(learned, losses.VID)
        mine, theirs = self.layers(lesson)
        return learned(mine, theirs)  # type: ignore[no-any-return]
