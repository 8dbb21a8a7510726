"""Precision-weighted fusion of normal distributions: the sure count more (a generalised product of experts, Cao & Fleet, 2014).

    1/s^2 = sum_k a_k / s_k^2,   m = s^2 sum_k a_k m_k / s_k^2

a_k is the weight of teacher k, m_k(x) and s_k^2(x) its mean and variance. With weights that sum to 1 it is
the logarithmic opinion pool (Heskes, 1998); the mean alone is the inverse-variance weighting of meta-analysis. Source: Cao & Fleet,
"Generalized Product of Experts for Automatic and Principled Fusion of Gaussian Process Predictions" (arXiv 1410.7827, 2014).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import MeanFusion
from fedkd.losses import gaussian


@dataclass(frozen=True, kw_only=True)
class Precision(MeanFusion):
    """Normal distributions weighted by their precision 1/s^2: the normalised weighted geometric mean of their densities.

    Identical teachers give their own variance, however many they are; how far means lie apart does not show in the variance.
    """

    needs_classes: ClassVar[bool] = False
    needs_gaussians: ClassVar[bool] = True
    gives: ClassVar[Literal["logits", "probabilities"]] = "logits"

    def summand(self, outputs: Float[Tensor, "n twice"]) -> Float[Tensor, "n twice"]:
        """Return `m_k / s_k^2` and `1 / s_k^2`."""
        mean, log_variance = gaussian(outputs)
        precision = (-log_variance).exp()
        return torch.cat((mean * precision, precision), dim=-1)

    def finish(self, mean: Float[Tensor, "n twice"]) -> Float[Tensor, "n twice"]:
        """Return `m` and `log s^2`."""
        pulled, precision = mean.chunk(2, dim=-1)
        return torch.cat((pulled / precision, -precision.log()), dim=-1)
