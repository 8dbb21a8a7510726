"""Correlation congruence: Peng et al. (ICCV 2019); `fedkd.losses.cckd`."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Index, Positive
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class CCKD(RelationTerm):
    """Correlations of samples under a Gaussian kernel."""

    gamma: Positive = 0.4
    """Of the kernel: larger is narrower."""

    order: Index = 2
    """The highest power of the kernel's expansion."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean squared error."""
        del learned
        return losses.cckd(*self.layers(lesson), gamma=self.gamma, order=self.order)
