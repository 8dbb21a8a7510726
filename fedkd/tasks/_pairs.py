"""How well embeddings tell people apart: verification over all pairs of samples, identification of each sample among the others.

>>> verification(embeddings[None], identities)
tensor([[...]])  # area under the ROC curve, equal error rate, share of the right pairs that is let in

Every function measures many networks on the same samples. Cosines are compared to twelve digits, so that equal embeddings are equally
near whatever the order in which products are added.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.losses.embeddings import cosines, partners


def rounded_cosines(embeddings: Float[Tensor, "clients n width"]) -> Float[Tensor, "clients n n"]:
    """Return each network's cosine of every two samples in float64; network by network, so that no bit depends on how many there are."""
    return torch.stack([cosines(one) for one in embeddings.double()]).round(decimals=12)


def verification(
    similar: Float[Tensor, "clients n n"], identities: Int[Tensor, " n"], *, far: float
) -> Float[Tensor, "clients 3"]:
    """Return area under the ROC curve, equal error rate, and true accept rate at a false accept rate; NaN without pairs of both kinds.

    A pair is accepted if it is at least as similar as a threshold; the false accept rate is the share of the pairs of two people that
    are, the true accept rate that of the pairs of one. The equal error rate is the false accept rate where as large a share of the right
    pairs is turned away; between two thresholds the ROC curve is a straight line.

    Args:
        similar: of every two samples.
        identities: who each sample is of.
        far: the largest false accept rate for the last of the three.

    Source: Grother, Ngan & Hanaoka, "Ongoing Face Recognition Vendor Test (FRVT) Part 1: Verification" (NIST, 2018), for the terms.
    """
    first, second = torch.triu_indices(len(identities), len(identities), 1, device=similar.device)
    right = identities[first] == identities[second]
    total = right.sum(), (~right).sum()
    if not all(total):
        return similar.new_full((len(similar), 3), float("nan"))
    scores, order = similar[:, first, second].sort(dim=-1, descending=True)
    hits = right[order]
    tar, wrong = (
        kind.cumsum(dim=-1, dtype=torch.float64) / every
        for kind, every in zip((hits, ~hits), total, strict=True)
    )
    # A threshold lies only where the next pair is less similar: equal pairs are accepted together.
    vertex = torch.ones_like(hits)
    vertex[:, :-1] = scores[:, 1:] < scores[:, :-1]
    tar_before, wrong_before = (_before(share, vertex) for share in (tar, wrong))
    area = ((wrong - wrong_before) * (tar + tar_before) / 2 * vertex).sum(dim=-1)
    let_in = torch.where(vertex & (wrong <= far), tar, 0.0).amax(dim=-1)
    # The first vertex at which no more of the right pairs are turned away than of the wrong ones are accepted.
    place = torch.arange(hits.shape[1], device=hits.device)
    crossed = torch.where(vertex & (wrong + tar >= 1.0), place, len(place)).amin(dim=-1, keepdim=True)
    at = [share.gather(-1, crossed)[:, 0] for share in (tar, wrong, tar_before, wrong_before)]
    gap, gap_before = at[0] + at[1] - 1.0, at[2] + at[3] - 1.0
    equal = at[3] + (at[1] - at[3]) * gap_before / (gap_before - gap)
    return torch.stack((area, equal, let_in), dim=-1)


def rank_one(
    similar: Float[Tensor, "clients n n"], identities: Int[Tensor, " n"]
) -> Float[Tensor, " clients"]:
    """Return how often the nearest of the other samples is of the same person, over the samples that have another one of their person.

    Among equally near ones each counts by its share. NaN where nobody has another sample, or all samples are of one person.
    """
    right = partners(identities)
    known = right.any(dim=1)
    if not known.any() or (identities == identities[0]).all():
        return similar.new_full((len(similar),), float("nan"))
    nearest = nearest_others(similar)
    share = (nearest & right).sum(dim=-1, dtype=torch.float64) / nearest.sum(dim=-1)
    return share[:, known].mean(dim=-1)


def nearest_others(similar: Float[Tensor, "clients n n"]) -> Bool[Tensor, "clients n n"]:
    """Return for each sample (second axis) which of the other samples (last axis) are nearest to it; there may be several."""
    itself = torch.eye(similar.shape[-1], dtype=torch.bool, device=similar.device)
    others = similar.masked_fill(itself, -torch.inf)
    return (others == others.amax(dim=-1, keepdim=True)) & ~itself


def neighbourhoods(similar: Float[Tensor, "n n"]) -> Int[Tensor, " n"]:
    """Return groups of samples that are joined by being each other's nearest, chain by chain: pseudo-identities.

    A group's number is the place of its first sample.

    Source: Sarfraz, Sharma & Stiefelhagen, "Efficient Parameter-Free Clustering Using First Neighbor Relations" (CVPR 2019), equation 1,
    first partition.
    """
    joined = nearest_others(similar[None])[0]
    size = len(joined)
    reach = joined | joined.mT | torch.eye(size, dtype=torch.bool, device=joined.device)
    for _ in range(max(size - 1, 1).bit_length()):  # each time chains of twice the length are followed
        reach = (reach.double() @ reach.double()) > 0
    return reach.double().argmax(dim=-1)


def _before(share: Float[Tensor, "clients pairs"], vertex: Bool[Tensor, "clients pairs"]) -> Tensor:
    """Return the share at the vertex before each place, 0 before the first; shares never fall."""
    latest = torch.where(vertex, share, 0.0).cummax(dim=-1).values
    return torch.cat([torch.zeros_like(latest[:, :1]), latest[:, :-1]], dim=-1)
