"""Which teachers can be believed about a sample, where its label is known: those that are right, the surer the more.

>>> weights = reliable(outputs, present, labels)
>>> (weights[..., None] * outputs).sum(dim=0)  # what the right ones say together
tensor([[...]])
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

_LEAST = 1e-12
"""Entropy in nats below which teachers are equally sure; without it a certain one would count infinitely."""


def reliable(
    outputs: Float[Tensor, "teachers n classes"],
    present: Bool[Tensor, "teachers n"],
    labels: Int[Tensor, " n"],
) -> Float[Tensor, "teachers n"]:
    """Return `alpha_k = softmax_k(1 / H(p_k))` over the teachers that name the label, and 0 for the others.

    Args:
        outputs: what each teacher says about each sample, in log space.
        present: whether it spoke about it.
        labels: the true class of each sample.

    Returns:
        Weights in float64 that sum to 1 over the teachers, or are all 0 where none is right.

    Source: Cheng et al., "FedGEMS: Federated Learning of Larger Server Models via Selective Knowledge Fusion" (2021), section 3.3.
    """
    log_probabilities = F.log_softmax(outputs.double(), dim=-1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=-1)
    right = present & (outputs.argmax(dim=-1) == labels)
    sure = torch.where(right, 1.0 / entropy.clamp_min(_LEAST), -torch.inf)
    peak = torch.where(right.any(dim=0), sure.amax(dim=0), 0.0)
    weights = (sure - peak).exp()
    return weights / weights.sum(dim=0).clamp_min(torch.finfo(weights.dtype).tiny)
