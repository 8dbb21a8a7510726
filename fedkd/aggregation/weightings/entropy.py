"""Teachers that are sure of a sample count more on it, EBKD (Kwon et al., 2020).

Source: Kwon et al., "Adaptive Knowledge Distillation Based on Entropy" (ICASSP 2020). The form is that in which CA-MKD (Zhang et al.,
2022) compares it, `1 - H_k / sum_j H_j`, divided by K - 1 so that the weights sum to 1.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.teachers import Fault, Teachers, shares
from fedkd.aggregation.weightings.base import Weighting


@dataclass(frozen=True, kw_only=True)
class Entropy(Weighting):
    """`(1 - H_k / sum_j H_j) / (K - 1)` with the entropy H_k of teacher k, sample by sample.

    It asks how sure a teacher is, not whether it is right.
    """

    needs_classes: ClassVar[bool] = True

    @property
    def spots(self) -> frozenset[Fault]:
        """A teacher that knows nothing."""
        return frozenset({"ignorance"})

    def weigh(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the shares of the entropy of all others; where nobody has any, all count alike."""
        log_probabilities = F.log_softmax(teachers.outputs.double(), dim=-1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=-1) * teachers.present
        of_others = (entropy.sum(dim=0, keepdim=True) - entropy).clamp_min(0.0)
        return shares(of_others, teachers.present).to(teachers.outputs.dtype)
