"""Every teacher counts the same."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.teachers import Teachers
from fedkd.aggregation.weightings.base import LoneWeighting


@dataclass(frozen=True, kw_only=True)
class Uniform(LoneWeighting):
    """1/K for each of K teachers."""

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return 1 everywhere."""
        return teachers.each(torch.ones_like(teachers.sizes))
