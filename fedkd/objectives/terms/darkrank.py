"""DarkRank: Chen, Wang & Zhang (AAAI 2018); `fedkd.losses.darkrank`."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, Positive
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class DarkRank(RelationTerm):
    """The order in which each sample ranks the others by how near they are."""

    form: Literal["hard", "soft"] = "hard"
    """`hard` learns the order that the teachers find most likely, `soft` how likely they find each order of a short list."""

    length: Count | None = None
    """How many of the nearest samples are ranked; if not given, all others (`hard`) or 4 (`soft`, which takes 6 at most)."""

    alpha: Positive = 3.0
    """How certain orders are."""

    beta: Positive = 3.0
    """Power of the distance."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over the batch."""
        del learned
        return losses.darkrank(
            *self.layers(lesson), form=self.form, length=self.length, alpha=self.alpha, beta=self.beta
        )
