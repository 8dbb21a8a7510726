"""Averaging what clients say about each label, over those clients that have the label (FD: Jeong et al., 2018).

Two mistakes are common and are not made here: a client that never saw a label is counted as if it had sent a vector of
zeros, and a client is taught by its own average.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def mean_of_others(
    values: Float[Tensor, "clients labels classes"],
    counts: Int[Tensor, "clients labels"],
    *,
    without: int | None,
) -> tuple[Float[Tensor, "labels classes"], Bool[Tensor, " labels"]]:
    """Return for each label the mean vector over the clients that have it, and whether anybody has.

    Args:
        values: mean logit vector of each client for each label; rows with count 0 are ignored.
        counts: how many samples of each label each client has.
        without: position of the client that will be taught, and so must not teach; none counts everyone.

    Source: Jeong et al., "Communication-Efficient On-Device Machine Learning" (2018), Algorithm 1: each device that has
    the label counts the same, whatever its number of samples.
    """
    says = counts > 0
    if without is not None:
        says = says.clone()
        says[without] = False
    teachers = says.sum(dim=0)
    total = torch.where(says[..., None], values, torch.zeros((), dtype=values.dtype)).sum(dim=0)
    return total / teachers.clamp_min(1)[:, None], teachers > 0
