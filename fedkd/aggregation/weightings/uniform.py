"""Every teacher counts the same."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.weightings.base import Weighting


@dataclass(frozen=True, kw_only=True)
class Uniform(Weighting):
    """1/K for each of K teachers."""

    def weigh(
        self, outputs: Float[Tensor, "teachers n outputs"], sizes: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "teachers n"]:
        """Return 1/K everywhere."""
        del sizes
        return torch.full(outputs.shape[:2], 1.0 / len(outputs), dtype=outputs.dtype)
