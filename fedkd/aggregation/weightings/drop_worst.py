"""Teachers that are no better than chance are left out, the drop-worst of FedDF (Lin et al., 2020)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.teachers import Teachers
from fedkd.aggregation.weightings._scored import Scored
from fedkd.aggregation.weightings.base import LEAST


@dataclass(frozen=True, kw_only=True)
class DropWorst(Scored):
    """0 for a teacher that scores no better than the best model that does not look at its input; the others count alike.

    In FedDF those that are left out by validation data do not count in the average of the weights either. A teacher that could not be
    judged stays, and so do all where none is better than chance.
    """

    leaves_out: ClassVar[bool] = True

    by_size: bool = False
    """Whether those that stay count by how many samples they have seen."""

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return 1 or the size, the same on every sample; of those that are left out so little that it counts only among themselves."""
        scores, chance = self.judged(teachers)
        stays = (scores > chance) | scores.isnan()
        weights = teachers.sizes if self.by_size else torch.ones_like(teachers.sizes)
        return teachers.each(weights.where(stays, LEAST * weights))
