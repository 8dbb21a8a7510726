"""What a weighting must say. Whatever a method prints, weights here sum to 1 over the teachers."""

from abc import ABC, abstractmethod

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
