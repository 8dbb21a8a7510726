"""What a fusion must say. Everything is in log space: logits, or logarithms of probabilities."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.foundation.parts import Part


class Fusion(Part, ABC):
    """Makes one target for each proxy sample of what the teachers say."""

    needs_classes: ClassVar[bool] = True
    """Whether it makes sense for classes only."""

    gives: ClassVar[Literal["logits", "probabilities"]] = "probabilities"
    """The form in which its result is sent to clients."""

    @abstractmethod
    def fuse(
        self, outputs: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return scores whose softmax is the fused distribution (for numbers: the fused numbers).

        Args:
            outputs: raw outputs or log-probabilities of each teacher on each sample.
            weights: sum to 1 over the teachers; 0 where a teacher said nothing.
        """


def log_mean_probability(
    outputs: Float[Tensor, "teachers n classes"], weights: Float[Tensor, "teachers n"]
) -> Float[Tensor, "n classes"]:
    """Return the logarithm of the weighted mean of the teachers' probabilities, without leaving log space."""
    return torch.logsumexp(F.log_softmax(outputs, dim=-1) + weights.log()[..., None], dim=0)
