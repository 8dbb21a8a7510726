"""What a weighting must say. Whatever a method prints, weights here sum to 1 over the teachers."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.foundation.parts import Part


class Weighting(Part, ABC):
    """How much each teacher counts."""

    @abstractmethod
    def weigh(
        self, outputs: Float[Tensor, "teachers n outputs"], sizes: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "teachers n"]:
        """Return the weight of every teacher on every sample; over the teachers they sum to 1.

        Args:
            outputs: what each teacher says about each proxy sample, in log space.
            sizes: how many training samples each teacher has seen.
        """


class LoneWeighting(Weighting):
    """A weighting that weighs a teacher without a look at the others: teachers can be counted one by one."""

    @abstractmethod
    def alone(self, outputs: Float[Tensor, "n outputs"], size: float) -> Float[Tensor, " n"]:
        """Return the weight of one teacher, sample by sample, at least 0; only ratios between teachers matter.

        Args:
            outputs: what the teacher says about any of the proxy samples, in log space and float64.
            size: how many training samples it has seen.
        """

    def weigh(
        self, outputs: Float[Tensor, "teachers n outputs"], sizes: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "teachers n"]:
        """Return each teacher's share of what all weigh together."""
        weights = torch.stack(
            [
                self.alone(said, size).double()
                for said, size in zip(outputs.double(), sizes.tolist(), strict=True)
            ]
        )
        return shares(weights).to(outputs.dtype)


def shares(weights: Float[Tensor, "teachers n"]) -> Float[Tensor, "teachers n"]:
    """Return the weights divided by their sum over the teachers; where that is 0, they stay 0."""
    return weights / weights.sum(dim=0, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
