"""Specialists of different classes as one teacher of all of them: a class is spoken of by those who have seen it.

Shen et al., "Amalgamating Knowledge towards Comprehensive Classification" (AAAI 2019), where the teachers' scores are put side by side and a
student learns all of them. With a_k(x) the weight of teacher k on a sample, z_k(x) its logits, m_kc = 1 where it has seen class c, else 0:

    z_c(x) = sum_k m_kc a_k(x) z_kc(x) / sum_k m_kc a_k(x),   t(x) = softmax(z(x))

Classes that a teacher never saw are left out of its answer, never counted as an answer of zero: a network that never saw a class
is sure that nothing belongs to it, and would vote against those who know. For classes that no two teachers share, as in the paper, the fraction
is the score of the one who knows, and weights make no difference. A class that nobody has seen has the probability 0.

Not in the paper: several teachers of one class, by their weights; `centred`, as each teacher's softmax leaves the height of its
logits open. The paper also merges the teachers' layers, which here is a term of the distiller (`amalgamation`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from fedkd.aggregation.fusions.base import FLOOR, ClasswiseFusion


@dataclass(frozen=True, kw_only=True)
class Union(ClasswiseFusion):
    """Each class by the logits of the teachers that have seen it; needs a weighting with which clients send their class counts."""

    centred: bool = False
    """Subtract from each teacher's logits their mean over the classes that it has seen."""

    def fuse_known(
        self,
        outputs: Float[Tensor, "teachers n classes"],
        weights: Float[Tensor, "teachers n"],
        known: Bool[Tensor, "teachers classes"],
    ) -> Float[Tensor, "n classes"]:
        """Return the logarithm of the probabilities, at least -708; all alike where nobody who counts has seen any class."""
        said, counts = outputs.double(), weights.double()[..., None] * known[:, None, :]
        if self.centred:
            seen = known.double()[:, None, :]
            said = said - (said * seen).sum(dim=-1, keepdim=True) / seen.sum(dim=-1, keepdim=True).clamp_min(
                1.0
            )
        whole = counts.sum(dim=0)
        scores = torch.where(counts > 0, counts * said, 0.0).sum(dim=0) / whole.clamp_min(_LEAST)
        spoken = (whole > 0) | ~(whole > 0).any(dim=-1, keepdim=True)
        logs = F.log_softmax(scores.masked_fill(~spoken, -torch.inf), dim=-1)
        return logs.clamp_min(FLOOR).to(outputs.dtype)


_LEAST = torch.finfo(torch.float64).tiny
