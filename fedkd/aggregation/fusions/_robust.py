"""Fusions that some teachers cannot move far, whatever they say. A weight is a share of the votes."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion, log_probability
from fedkd.aggregation.teachers import spoken

ROUNDING = 1e-6
"""Shares of the weight that differ by less are the same, since weights come in float32."""

BELOW_HALF = 0.5 - ROUNDING


@dataclass(frozen=True, kw_only=True)
class RobustFusion(Fusion):
    """A robust centre of the teachers' probabilities, or of their raw outputs."""

    of: Literal["probabilities", "outputs"] = "probabilities"
    """What the centre is taken of: probabilities, or raw outputs, which is the one that makes sense for numbers."""

    # Both follow from an option here, while other fusions know them as classes.
    @property
    def needs_classes(self) -> bool:  # type: ignore[override]
        """Probabilities make sense for classes only."""
        return self.of == "probabilities"

    @property
    def gives(self) -> Literal["logits", "probabilities"]:  # type: ignore[override]
        """Outputs are sent on as what they are."""
        return "probabilities" if self.of == "probabilities" else "logits"

    @abstractmethod
    def centre(
        self, points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the robust mean of the points of each sample, in float64.

        Args:
            points: what each teacher says; that of a teacher of weight 0 must not matter.
            weights: sum to 1 over the teachers.
        """

    def fuse(
        self, outputs: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the centre, or the logarithm of the one of probabilities, which its softmax normalises."""
        weights, said = weights.double(), spoken(outputs, weights).double()
        if self.of == "outputs":
            return self.centre(said, weights).to(outputs.dtype)
        centre = self.centre(F.softmax(said, dim=-1), weights)
        return log_probability(centre).to(outputs.dtype)


def weighted_mean(
    points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
) -> Float[Tensor, "n outputs"]:
    """Return the mean over the teachers; the weights of a sample may have any sum above 0."""
    total = torch.einsum("kn,kno->no", weights, points)
    return total / weights.sum(dim=0).clamp_min(torch.finfo(weights.dtype).tiny)[:, None]


def weighted_median(
    points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
) -> Float[Tensor, "n outputs"]:
    """Return the median of each coordinate; where half of the weight lies on each side, the middle between both."""
    values, reached = sorted_weights(points, weights)
    return 0.5 * (_first(values, reached >= 0.5 - ROUNDING) + _first(values, reached > 0.5 + ROUNDING))


def sorted_weights(
    points: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
) -> tuple[Float[Tensor, "teachers n outputs"], Float[Tensor, "teachers n outputs"]]:
    """Return each coordinate's values in rising order, and the share of the weight up to each of them."""
    values, order = points.sort(dim=0)
    reached = weights[..., None].expand_as(points).gather(0, order).cumsum(dim=0)
    return values, reached / reached[-1:].clamp_min(torch.finfo(reached.dtype).tiny)


def _first(
    values: Float[Tensor, "teachers n outputs"], far_enough: Bool[Tensor, "teachers n outputs"]
) -> Float[Tensor, "n outputs"]:
    return values.gather(0, far_enough.int().argmax(dim=0, keepdim=True))[0]
