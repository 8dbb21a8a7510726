"""Losses on responses: what a network says, as logits, probabilities or numbers.

>>> kd(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), temperature=1.0)
tensor(1.5232)
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Reduction = Literal["mean", "none"]


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
        teacher_logits: log-probabilities serve as well, since their softmax is the probabilities; no gradient.
        temperature: T > 0.
        reduction: mean over the batch, or one value a sample.

    Source: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2.
    """
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=-1)
    # Written out, since `vmap` goes through `F.kl_div` one client after the other.
    divergence = (teacher.exp() * (teacher - student)).sum(dim=-1)
    return _reduce(divergence * temperature**2, reduction)


def mae(
    student: Float[Tensor, "batch outputs"],
    teacher: Float[Tensor, "batch outputs"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Mean absolute error over the outputs: how FedMD's clients match the consensus of logits (Li & Wang, 2019)."""
    return _reduce((student - teacher.detach()).abs().mean(dim=-1), reduction)


def mse(
    student: Float[Tensor, "batch outputs"],
    teacher: Float[Tensor, "batch outputs"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Mean squared error over the outputs."""
    return _reduce((student - teacher.detach()).square().mean(dim=-1), reduction)


def _reduce(values: Float[Tensor, " batch"], reduction: Reduction) -> Float[Tensor, "*batch"]:
    return values.mean() if reduction == "mean" else values
