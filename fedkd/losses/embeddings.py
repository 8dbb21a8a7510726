"""Losses on embeddings, whose angles say who is alike: against identities, against a teacher's embeddings, against a teacher's angles.

>>> supervised_contrastive(torch.rand(8, 32), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]))
tensor(...)

Lengths of embeddings mean nothing. Teachers receive no gradient.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.losses.checks import agree, positive
from fedkd.losses.reductions import Reduction, reduce, unit


def supervised_contrastive(
    embeddings: Float[Tensor, "batch width"],
    identities: Int[Tensor, " batch"],
    *,
    temperature: float = 0.1,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Supervised contrastive loss: samples of one identity are to be nearer to each other than to all others.

        L_i = -1/|P(i)| sum_(p in P(i)) log [ exp(z_i . z_p / T) / sum_(a != i) exp(z_i . z_a / T) ]

    z are the embeddings at length 1, P(i) the other samples of i's identity in the batch. It needs no classifier, so that networks of
    clients with different identities can be averaged and compared.

    Args:
        embeddings: of any length.
        identities: who each sample is of.
        temperature: T > 0.
        reduction: mean over the batch, sum, or one value a sample. A sample without a partner in the batch has the loss 0, and the
            others' are raised so that the mean over the batch is the mean over those with a partner (0 if there is none).

    Source: Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), equation 2.
    """
    agree("supervised_contrastive", embeddings.shape[:1], identities.shape, what="batches")
    positive("temperature", temperature)
    positives = partners(identities)
    similar = cosines(embeddings) / temperature
    itself = torch.eye(len(identities), dtype=torch.bool, device=embeddings.device)
    among = similar.masked_fill(itself, torch.finfo(similar.dtype).min).logsumexp(dim=1, keepdim=True)
    count = positives.sum(dim=1)
    losses = torch.where(positives, among - similar, 0.0).sum(dim=1) / count.clamp_min(1)
    return reduce(losses * (len(losses) / (count > 0).sum().clamp_min(1).to(losses)), reduction)


def cosine(
    student: Float[Tensor, "batch width"],
    teacher: Float[Tensor, "batch width"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """One minus the cosine of student and teacher, 0 to 2: for networks that began alike, whose axes mean the same.

    Args:
        student: embeddings.
        teacher: embeddings of the same width.
        reduction: mean over the batch, sum, or one value a sample.
    """
    agree("cosine", student.shape, teacher.shape)
    return reduce(1.0 - (unit(student) * unit(teacher.detach())).sum(dim=1), reduction)


def cosine_relations(
    student: Float[Tensor, "batch _"],
    teacher: Float[Tensor, "batch _"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Squared difference of the cosines between samples: `L_i = mean over j != i of (cos_S(i, j) - cos_T(i, j))^2`.

    It is 0 under a rotation of the embeddings, so networks that were trained apart can be compared, of any width. A batch of one has no
    pairs, and costs nothing.

    Args:
        student: embeddings of any width.
        teacher: embeddings of any width.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Peng et al., "Correlation Congruence for Knowledge Distillation" (ICCV 2019), equation 9, with the plain inner product of
    vectors of length 1 as the kernel, and without the samples' products with themselves, which are 1 for all networks.
    """
    agree("cosine_relations", student.shape[:1], teacher.shape[:1], what="batches")
    apart = (cosines(student) - cosines(teacher.detach())).square()
    others = ~torch.eye(len(apart), dtype=torch.bool, device=apart.device)
    return reduce(torch.where(others, apart, 0.0).sum(dim=1) / max(len(apart) - 1, 1), reduction)


def cosines(embeddings: Float[Tensor, "*some batch width"]) -> Float[Tensor, "*some batch batch"]:
    """Return the cosine of every two rows."""
    directions = unit(embeddings)
    return directions @ directions.mT


def partners(identities: Int[Tensor, " batch"]) -> Bool[Tensor, "batch batch"]:
    """Return for every two samples whether they are different ones of the same identity."""
    itself = torch.eye(len(identities), dtype=torch.bool, device=identities.device)
    return (identities[:, None] == identities[None, :]) & ~itself


def from_cosines(cosines: Float[Tensor, "n n"], width: int) -> Float[Tensor, "n width"]:
    """Return vectors of length 1 whose inner products are nearly the given ones: classical scaling.

    The largest eigenvalues of the matrix are kept, as many as there are axes. The sign of an axis is such that its largest number is
    positive; axes that are not needed are 0.

    Source: Torgerson, "Multidimensional Scaling: I. Theory and Method" (Psychometrika 17, 1952), from inner products in place of distances.
    """
    values, vectors = torch.linalg.eigh(cosines)
    kept = min(width, len(cosines))
    axes = vectors[:, -kept:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    lengths = values[-kept:].flip(0)
    # Below this an eigenvalue is the rounding of a 0, and its vector any direction.
    lengths = torch.where(lengths > 1e-12 * lengths[0].abs(), lengths, 0.0).sqrt()
    found = axes * torch.where(largest < 0, -1.0, 1.0) * lengths
    return unit(F.pad(found, (0, width - kept)))
