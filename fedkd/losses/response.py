"""Losses on responses: what a network says, as logits, probabilities or numbers.

>>> kd(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), temperature=1.0)
tensor(1.5232)
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.losses.checks import agree, one_hot, positive
from fedkd.losses.reductions import Reduction, nonzero, reduce


def kd(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float = 4.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Knowledge distillation: `T^2 KL(teacher_T || student_T)`, summed over classes, both sides tempered.

    Args:
        student_logits: receives the gradient `T (p_S - p_T)` per sample.
        teacher_logits: log-probabilities serve as well, since their softmax is the probabilities, and -inf for a probability of 0; no
            gradient.
        temperature: T > 0.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2.
    """
    agree("kd", student_logits.shape, teacher_logits.shape)
    positive("temperature", temperature)
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(tempered(teacher_logits, temperature), dim=-1)
    return reduce(_kl(teacher, student) * temperature**2, reduction)


def dkd(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Decoupled knowledge distillation: `T^2 (alpha TCKD + beta NCKD)`.

    TCKD compares how sure both are of the target class against all others, NCKD how they rate the others among themselves.
    With `beta = 1 - p_T[target]`, sample by sample, it would be `kd`. The authors raise its weight over the first epochs.

    Args:
        student_logits: at least three classes.
        teacher_logits: logits or log-probabilities, -inf among them; no gradient. Where all other classes have a probability of 0, they
            count as alike.
        targets: the true classes, or those that the teacher names where there are no labels.
        alpha: weight of the target class.
        beta: weight of the other classes.
        temperature: T > 0.
        reduction: mean over the batch, sum, or one value a sample.

    Raises:
        IllegalCombination: fewer than three classes, of which NCKD has nothing to say; or a label that is none of them.

    Source: Zhao et al., "Decoupled Knowledge Distillation" (CVPR 2022), equation 7.
    """
    agree("dkd", student_logits.shape, teacher_logits.shape)
    agree("dkd", student_logits.shape[:1], targets.shape, what="batches")
    positive("temperature", temperature)
    classes = student_logits.shape[-1]
    if classes < 3:
        raise IllegalCombination(f"dkd needs at least 3 classes, there are {classes}; take kd")
    own = one_hot("dkd", targets, classes)
    student = _decoupled(student_logits / temperature, own)
    teacher = _decoupled(tempered(teacher_logits, temperature), own)
    target, others = (_kl(known, learned) for known, learned in zip(teacher, student, strict=True))
    return reduce((alpha * target + beta * others) * temperature**2, reduction)


def jsd(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    beta: float = 0.5,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Generalised Jensen-Shannon divergence: `beta KL(T || M) + (1 - beta) KL(S || M)`, `M = beta T + (1 - beta) S`.

    At `beta` 0 it is `KL(T || S)` and at 1 `KL(S || T)`: what the divergence over `beta` (over `1 - beta`) tends to there, while the
    formula itself would give 0.

    Args:
        student_logits: receives the gradient.
        teacher_logits: logits or log-probabilities, -inf among them, of which `KL(S || T)` is beyond all bounds; no gradient.
        beta: from 0 to 1.
        temperature: T > 0; the value is not multiplied by its square.
        reduction: mean over the batch, sum, or one value a sample.

    Raises:
        InvalidOption: beta below 0 or above 1.

    Source: Agarwal et al., "On-Policy Distillation of Language Models" (ICLR 2024), section 2.
    """
    if not 0 <= beta <= 1:
        raise InvalidOption("beta", beta, "a number from 0 to 1")
    agree("jsd", student_logits.shape, teacher_logits.shape)
    positive("temperature", temperature)
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(tempered(teacher_logits, temperature), dim=-1)
    if beta in {0, 1}:
        return reduce(_kl(student, teacher) if beta else _kl(teacher, student), reduction)
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return reduce(beta * _kl(teacher, mixture) + (1 - beta) * _kl(student, mixture), reduction)


def dist(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    beta: float = 1.0,
    gamma: float = 1.0,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """DIST: `T^2 [beta (1 - mean r over samples) + gamma (1 - mean r over classes)]`, r Pearson's correlation.

    Probabilities of student and teacher are correlated over the classes of each sample, and over the samples for each class.
    What never varies correlates with nothing: r = 0.

    Args:
        student_logits: receives the gradient.
        teacher_logits: logits or log-probabilities; no gradient.
        beta: weight of the relations between classes.
        gamma: weight of the relations between samples.
        temperature: T > 0.
        reduction: mean over the batch, sum, or one value a sample, of which each holds the whole term over classes.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher" (NeurIPS 2022), equations 7 to 10.
    """
    agree("dist", student_logits.shape, teacher_logits.shape)
    positive("temperature", temperature)
    student = F.softmax(student_logits / temperature, dim=-1)
    teacher = F.softmax(teacher_logits.detach() / temperature, dim=-1)
    between_classes = 1 - _pearson(student, teacher)
    between_samples = 1 - _pearson(student.mT, teacher.mT).mean()
    return reduce((beta * between_classes + gamma * between_samples) * temperature**2, reduction)


def mae(
    student: Float[Tensor, "batch outputs"],
    teacher: Float[Tensor, "batch outputs"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Mean absolute error over the outputs: how FedMD's clients match the consensus of logits (Li & Wang, 2019)."""
    agree("mae", student.shape, teacher.shape)
    return reduce((student - teacher.detach()).abs().mean(dim=-1), reduction)


def mse(
    student: Float[Tensor, "batch outputs"],
    teacher: Float[Tensor, "batch outputs"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Mean squared error over the outputs."""
    agree("mse", student.shape, teacher.shape)
    return reduce((student - teacher.detach()).square().mean(dim=-1), reduction)


def tempered(
    teacher_logits: Float[Tensor, "batch classes"], temperature: float
) -> Float[Tensor, "batch classes"]:
    """Return `logits / T` without a gradient; -inf counts as half of the lowest float, whose exponential is 0 too, so that `0 log 0` is 0."""
    logits = teacher_logits.detach() / temperature
    return logits.clamp_min(torch.finfo(logits.dtype).min / 2)


def _kl(
    known: Float[Tensor, "batch classes"], learned: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """Return `KL(known || learned)` of log-probabilities; written out, since `vmap` goes through `F.kl_div` one by one."""
    return (known.exp() * (known - learned)).sum(dim=-1)


def _decoupled(
    logits: Float[Tensor, "batch classes"], own: Tensor
) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch classes"]]:
    """Return log-probabilities of the target class and of all others together, and of each other among them (0 for the target)."""
    others = logits.masked_fill(~own, 0.0).sum(dim=-1), logits.masked_fill(own, -math.inf)
    binary = F.log_softmax(torch.stack((others[0], others[1].logsumexp(dim=-1)), dim=-1), dim=-1)
    return binary, F.log_softmax(others[1], dim=-1).masked_fill(own, 0.0)


def _pearson(
    student: Float[Tensor, "rows columns"], teacher: Float[Tensor, "rows columns"]
) -> Float[Tensor, " rows"]:
    """Return the correlation of each row with the other's; the 1e-8 is that of the authors."""
    a, b = student - student.mean(dim=-1, keepdim=True), teacher - teacher.mean(dim=-1, keepdim=True)
    lengths = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (a * b).sum(dim=-1) / nonzero(torch.where(lengths == 0, 0.0, lengths + 1e-8))
