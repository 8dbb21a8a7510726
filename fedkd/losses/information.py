"""Losses that bound or estimate how much a student's features tell about the teacher's.

>>> vid(torch.rand(8, 64), torch.rand(8, 64), torch.full((64,), 5.0))
tensor(...)

`fedkd.losses.VID`, `CRD`, `MIMKD`, `GCRD` and `HKD` are modules that hold what these losses learn: variances, embeddings, memories, critics, graph
convolutions.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.losses.checks import agree, positive
from fedkd.losses.embeddings import partners
from fedkd.losses.reductions import Reduction, nonzero, reduce, unit


def vid(
    mean: Float[Tensor, "batch channels *space"],
    teacher: Float[Tensor, "batch channels *space"],
    variance: Float[Tensor, " channels"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Variational information: mean of `1/2 ((mu - t)^2 / s^2 + log s^2)` over channels and places.

    Up to `1/2 log 2 pi`, it is the negative log-likelihood of the teacher's features given the student's, in nats a number. The
    entropy of the teacher's features less that bounds the mutual information from below.

    Args:
        mean: what the student's features say the teacher's are.
        teacher: features; no gradient.
        variance: of each channel, > 0; learned, as `mean` is.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer" (CVPR 2019), equation 5.
    """
    agree("vid", mean.shape, teacher.shape)
    agree("vid", mean.shape[1:2], variance.shape, what="channels")
    spread = variance.reshape(-1, *[1] * (mean.dim() - 2))
    nats = 0.5 * ((mean - teacher.detach()).square() / spread + spread.log())
    return reduce(nats.flatten(1).mean(dim=1), reduction)


def crd(
    student: Float[Tensor, "batch width"],
    teacher: Float[Tensor, "batch width"],
    student_memory: Float[Tensor, "batch candidates width"],
    teacher_memory: Float[Tensor, "batch candidates width"],
    *,
    samples: int,
    student_log_z: Float[Tensor, ""],
    teacher_log_z: Float[Tensor, ""],
    temperature: float = 0.07,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Contrastive representation distillation: each network's embedding must tell its own sample's memory of the other from others'.

    With K negatives of n samples and `P = exp(v . m / T) / Z`, each side costs
    `-log(P+ / (P+ + K/n)) - sum over negatives of log((K/n) / (P- + K/n))`.

    Args:
        student: embeddings at length 1.
        teacher: embeddings at length 1; they have a gradient, since the teacher's embedding is learned too.
        student_memory: the student's remembered embeddings: of the sample itself first, then of the K negatives.
        teacher_memory: the teacher's, of the same samples.
        samples: n, size of the training set.
        student_log_z: log Z of `student_memory . teacher`: a constant, see `log_z`.
        teacher_log_z: log Z of `teacher_memory . student`.
        temperature: T > 0.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Tian, Krishnan & Isola, "Contrastive Representation Distillation" (ICLR 2020), equations 9 to 11 and 18; `1e-7` and the fixed Z
    as in the authors' code.
    """
    agree("crd", student.shape, teacher.shape, student_memory.shape[::2], teacher_memory.shape[::2])
    agree("crd", student_memory.shape, teacher_memory.shape)
    positive("temperature", temperature)
    loss = _contrast(scores(student_memory, teacher, temperature) - student_log_z, samples)
    loss = loss + _contrast(scores(teacher_memory, student, temperature) - teacher_log_z, samples)
    return reduce(loss, reduction)


def scores(
    memory: Float[Tensor, "batch candidates width"],
    embedding: Float[Tensor, "batch width"],
    temperature: float,
) -> Float[Tensor, "batch candidates"]:
    """Return `v . m / T` of each candidate."""
    return torch.einsum("bcw,bw->bc", memory, embedding) / temperature


def log_z(scores: Float[Tensor, "batch candidates"], samples: int) -> Float[Tensor, ""]:
    """Return log Z, as estimated from a first batch: the logarithm of `n mean exp(score)`."""
    return scores.flatten().logsumexp(dim=0) - math.log(scores.numel() / samples)


def mimkd(
    scores: Float[Tensor, "batch batch *places"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Mutual information maximisation: `E softplus(-T)` over pairs of one sample, and `E softplus(T)` over pairs of two samples.

    The negative value is a lower bound of `2 JS(joint || product of marginals) - 2 log 2`: at least -2 log 2, which it is where student and
    teacher are independent, and less than 0. A critic that says the same of all pairs gets no further than -2 log 2. A batch of one has no
    pair of two samples, and costs nothing.

    Args:
        scores: T of the critic, of what the student says of the sample of a row and the teacher of the sample of a column; further axes are
            places of a map, over which the mean is taken.
        reduction: mean over the batch, sum, or one value for each sample of the student.

    Source: Shrivastava, Qi & Ordonez, "Estimating and Maximizing Mutual Information for Knowledge Distillation" (CVPR Workshops 2023); the bound
    is that of Hjelm et al., "Learning Deep Representations by Mutual Information Estimation and Maximization" (ICLR 2019), equation 4.
    """
    agree("mimkd", scores.shape[:1], scores.shape[1:2], what="batches")
    batch = len(scores)
    if batch < 2:
        return reduce(0.0 * scores.flatten(1).sum(dim=1), reduction)
    pairs = scores.flatten(2) if scores.dim() > 2 else scores[:, :, None]
    one = torch.eye(batch, dtype=torch.bool, device=scores.device)[:, :, None]
    signed = torch.where(one, pairs, -pairs)
    cost = -F.logsigmoid(signed).mean(dim=2)
    together = cost.diagonal()
    apart = torch.where(one[:, :, 0], 0.0, cost).sum(dim=1) / (batch - 1)
    return reduce(together + apart, reduction)


def info_nce(
    student: Float[Tensor, "batch width"],
    teacher: Float[Tensor, "batch width"],
    labels: Int[Tensor, " batch"] | None = None,
    *,
    temperature: float = 0.075,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """InfoNCE: each embedding of the student must tell the teacher's of its own sample from those of the other samples.

        L_i = -log [ exp(s_i . t_i / T) / sum_j exp(s_i . t_j / T) ]

    s and t are the embeddings at length 1; j runs over i and the samples that it is told from. Without any the loss is 0; where all
    embeddings are alike it is the logarithm of their number.

    Args:
        student: embeddings of any length.
        teacher: embeddings of the same width; they have a gradient, since the teacher's embedding is learned too.
        labels: samples of one label are not told from each other; without them all are.
        temperature: T > 0.
        reduction: mean over the batch, sum, or one value a sample.

    Source: van den Oord, Li & Vinyals, "Representation Learning with Contrastive Predictive Coding" (2018), equation 4, between two
    networks as in Joshi et al., "On Representation Knowledge Distillation for Graph Neural Networks" (IEEE TNNLS 2022).
    """
    agree("info_nce", student.shape, teacher.shape)
    positive("temperature", temperature)
    scores = unit(student) @ unit(teacher).mT / temperature
    own = scores.diagonal()
    if labels is not None:
        agree("info_nce", student.shape[:1], labels.shape, what="batches")
        scores = scores.masked_fill(partners(labels), torch.finfo(scores.dtype).min)
    return reduce(scores.logsumexp(dim=1) - own, reduction)


def pkt(
    student: Float[Tensor, "batch *_"],
    teacher: Float[Tensor, "batch *_"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Probabilistic knowledge transfer: divergence between how likely each sample takes each other for a neighbour.

    Similarities are `(1 + cosine) / 2`, made to sum to 1 over each row; the value is the mean over all pairs of
    `t log((t + 1e-7) / (s + 1e-7))`, as in the authors' code: the paper's sum over pairs is `batch^2` times as much.

    Args:
        student: embeddings of any width.
        teacher: embeddings; no gradient.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Passalis & Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer" (ECCV 2018), equations 5 to 8.
    """
    agree("pkt", student.shape[:1], teacher.shape[:1], what="batches")

    def neighbourhood(x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        x = x / nonzero(torch.where(length == 0, 0.0, length + 1e-7))
        similarity = (x @ x.mT + 1) / 2
        return similarity / similarity.sum(dim=1, keepdim=True)

    learned, known = neighbourhood(student.flatten(1)), neighbourhood(teacher.detach().flatten(1))
    divergence = known * ((known + 1e-7) / (learned + 1e-7)).log()
    return reduce(divergence.mean(dim=1), reduction)


def _contrast(log_p: Float[Tensor, "batch candidates"], samples: int) -> Float[Tensor, " batch"]:
    share = (log_p.shape[1] - 1) / samples
    if not share:  # nothing to tell the sample from
        return 0.0 * log_p[:, 0]
    either = torch.logaddexp(log_p, torch.full_like(log_p, math.log(share + 1e-7)))
    own, others = (log_p - either)[:, 0], (math.log(share) - either)[:, 1:]
    return -own - others.sum(dim=1)
