"""Teachers that are right about a sample count more on it, CA-MKD (Zhang et al., 2022).

Source: Zhang et al., "Confidence-Aware Multi-Teacher Knowledge Distillation" (ICASSP 2022), equation 3. The labels are those of the
proxy set. The authors' code divides the loss by K once more; weights here sum to 1, as in the paper.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.teachers import Fault, Need, Teachers, shares
from fedkd.aggregation.weightings.base import Weighting


@dataclass(frozen=True, kw_only=True)
class Confidence(Weighting):
    """`(1 - softmax_k(CE_k)) / (K - 1)` with the cross-entropy CE_k of teacher k against the label, sample by sample."""

    needs_classes: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """The labels of the proxy set."""
        return frozenset({"labels"})

    @property
    def spots(self) -> frozenset[Fault]:
        """A teacher that is wrong."""
        return frozenset({"error"})

    def weigh(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return one less each teacher's share of the loss."""
        assert teachers.labels is not None
        log_probabilities = F.log_softmax(teachers.outputs.double(), dim=-1)
        columns = teachers.labels.expand(teachers.present.shape)[..., None]
        loss = -log_probabilities.gather(-1, columns)[..., 0]
        blame = loss.masked_fill(~teachers.present, -float("inf")).softmax(dim=0).nan_to_num()
        return shares((1.0 - blame).clamp_min(0.0), teachers.present).to(teachers.outputs.dtype)
