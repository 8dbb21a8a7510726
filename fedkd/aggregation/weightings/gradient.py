"""Teachers count so that no one's wish is overruled, AEKD (Du et al., 2020).

Source: Du et al., "Agree to Disagree: Adaptive Ensemble Knowledge Distillation in Gradient Space" (NeurIPS 2020), equations 6 to 8: the
gradients of the teachers' losses with respect to the student's logits, and the combination of them with the smallest
norm. Differs from the paper: it is solved once in a round, for the student that the round begins with, and not for each batch; gradients are compared
sample by sample, not as means over a batch, which over a whole proxy set would hardly differ. The term `aekd` is the paper's, where the server has the
teachers' networks.

It looks for a direction in which all losses fall. A fresh student is as far from a corrupt teacher as from the others, so that the combination
nearest to nothing gives the one that contradicts all others about half of the weight: no protection against corrupt ones. Later in a training a
student follows the majority, and it is the corrupt teacher whose gradient is long; weights that were found once do not see that.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from fedkd.aggregation.teachers import Need, Teachers, shares
from fedkd.aggregation.weightings.base import Weighting
from fedkd.foundation.options import Positive
from fedkd.losses.gradients import smallest_combination


@dataclass(frozen=True, kw_only=True)
class Gradient(Weighting):
    """The weights w that minimise `|sum_k w_k g_k|^2`, where g_k is the gradient of teacher k's KL loss at the student's logits."""

    temperature: Positive = 1.0
    """Softens student and teachers alike in the loss whose gradient is taken."""

    largest: Annotated[float, Field(gt=0, le=1)] = 1.0
    """No teacher counts more than this (the C of the paper), or than 1/K where that is more; smaller tolerates less disagreement."""

    needs_classes: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """What the student says."""
        return frozenset({"student"})

    def weigh(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the same weight on every sample that a teacher spoke about."""
        assert teachers.student is not None
        wished = F.softmax(teachers.outputs.double() / self.temperature, dim=-1)
        said = F.softmax(teachers.student.double() / self.temperature, dim=-1)
        # A teacher's loss is the mean over the samples that it spoke about, so elsewhere it has no gradient.
        spoke = teachers.present.double()
        gradients = (said - wished) * (spoke / spoke.sum(dim=1, keepdim=True).clamp_min(1.0))[..., None]
        flat = gradients.flatten(start_dim=1)
        weights = torch.from_numpy(smallest_combination((flat @ flat.T).numpy(), self.largest))
        return shares(teachers.each(weights), teachers.present).to(teachers.outputs.dtype)
