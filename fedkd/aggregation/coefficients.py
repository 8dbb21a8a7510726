"""Coefficients that say how much each client learns from each other one.

They are learned (KT-pFL: Zhang et al., 2021), or follow from who says the same (a similarity graph, as in SQMD: Ye et al., 2023).

>>> personal(torch.full((2, 2), 0.5), probabilities)  # both are taught by the mean
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Projection = Literal["simplex", "softmax"]
"""How rows become distributions again after a step: the nearest one, or the softmax of five times the row."""


def personal(
    coefficients: Float[Tensor, "clients teachers"], probabilities: Float[Tensor, "teachers n classes"]
) -> Float[Tensor, "clients n classes"]:
    """Return what each client is taught: the mixture of the teachers' probabilities with its own coefficients."""
    return torch.einsum("kt,tnc->knc", coefficients, probabilities)


def learned(
    coefficients: Float[Tensor, "clients clients"],
    probabilities: Float[Tensor, "clients n classes"],
    *,
    lr: float,
    rho: float,
    projection: Projection = "simplex",
) -> Float[Tensor, "clients clients"]:
    """Return the coefficients after one step down the gradient of each client's own objective.

    The objective of client k is `mean_n KL(sum_m c_km p_m || p_k) + rho |c_k - 1/K|^2`: it listens to those who say what it says,
    the less selectively the larger rho. After the step each row is made a distribution again.

    Args:
        coefficients: each row sums to 1.
        probabilities: what each client says about the same samples.
        lr: length of the step.
        rho: pull towards listening to all alike.
        projection: how rows become distributions again.

    Source: Zhang et al., "Parameterized Knowledge Transfer for Personalized Federated Learning" (NeurIPS 2021), the update of the
    knowledge coefficient matrix. No projection is in the paper. The softmax is that of the authors' code; it moves rows even where the
    gradient is 0: small differences around 1/K become 5/K of what they were, so that they fade with more than 5 clients.
    """
    said = probabilities.double().clamp_min(torch.finfo(torch.float64).tiny)
    rows = coefficients.detach().double().requires_grad_()
    with torch.enable_grad():
        mixture = personal(rows, said).clamp_min(torch.finfo(torch.float64).tiny)
        divergence = (mixture * (mixture.log() - said.log())).sum(dim=-1).mean(dim=-1)
        pull = (rows - 1.0 / rows.shape[1]).square().sum(dim=-1)
        [gradient] = torch.autograd.grad((divergence + rho * pull).sum(), [rows])
    moved = rows.detach() - lr * gradient
    return onto_simplex(moved) if projection == "simplex" else (5.0 * moved).softmax(dim=-1)


def distances(probabilities: Float[Tensor, "clients n classes"]) -> Float[Tensor, "clients clients"]:
    """Return how far what client m says is from what client k says: `mean_n KL(p_m || p_k)` in row k and column m."""
    said = probabilities.double().clamp_min(torch.finfo(torch.float64).tiny)
    crossed = torch.einsum("mnc,knc->km", said, said.log()) / max(said.shape[1], 1)
    return (crossed.diagonal() - crossed).clamp_min(0.0)


def similar(
    probabilities: Float[Tensor, "clients n classes"],
    *,
    neighbours: int | None = None,
    temperature: float | None = None,
    itself: bool = True,
) -> Float[Tensor, "clients clients"]:
    """Return coefficients by a similarity graph: `c_km` proportional to `exp(-d_km / temperature)` for the nearest m of each k.

    Args:
        probabilities: what each client says about the same samples.
        neighbours: how many others a client is joined to, the nearest in `distances`; none is all.
        temperature: distance over which a neighbour counts e times less; none lets all neighbours count alike.
        itself: whether a client is joined to itself, too. A client without others listens to itself anyway.

    Source: Ye et al., "Heterogeneous Collaborative Learning for Personalized Healthcare Analytics via Messenger Distillation" (IEEE JBHI
    2023), where the nearest neighbours count alike. The kernel is our own.
    """
    apart = distances(probabilities)
    clients = len(apart)
    if clients == 1:
        return torch.ones_like(apart)
    own = torch.eye(clients, dtype=torch.bool, device=apart.device)
    # Of equally near ones those with lower numbers, on every machine.
    order = apart.masked_fill(own, float("inf")).argsort(dim=1, stable=True)
    joined = torch.zeros_like(own).scatter(1, order[:, : min(neighbours or clients, clients - 1)], value=True)
    if itself:
        joined = joined | own
    scores = torch.zeros_like(apart) if temperature is None else -apart / temperature
    return scores.masked_fill(~joined, float("-inf")).softmax(dim=1)


def onto_simplex(rows: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Return the distribution that is nearest to each row.

    Source: Duchi et al., "Efficient Projections onto the l1-Ball for Learning in High Dimensions" (ICML 2008), Figure 1.
    """
    falling = rows.sort(dim=-1, descending=True).values
    excess = falling.cumsum(dim=-1) - 1.0
    place = torch.arange(1, rows.shape[-1] + 1, device=rows.device)
    # The first entry always stays, so that there is a last one that does.
    last = (falling * place > excess).sum(dim=-1, keepdim=True).clamp_min(1)
    return (rows - excess.gather(-1, last - 1) / last).clamp_min(0.0)
