"""Losses for students that predict numbers, from teachers that may be wrong. Targets are the true numbers.

>>> bounded_regression(torch.zeros(4, 1), torch.zeros(4, 1), torch.ones(4, 1))
tensor(1.)

Squares and Huber losses are summed over the numbers of a sample. Teachers receive no gradient.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.losses.checks import agree
from fedkd.losses.reductions import Reduction, largest, reduce


def bounded_regression(
    student: Float[Tensor, "batch numbers"],
    teacher: Float[Tensor, "batch numbers"],
    targets: Float[Tensor, "batch numbers"],
    *,
    nu: float = 0.5,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Teacher-bounded regression: `Huber(s, y) + nu ||s - y||^2` where the student's error plus a margin exceeds the teacher's.

    The teacher is a bound, not a target: the second term is gone once the student is better than it by the margin.

    Args:
        student: predictions; receives the gradient.
        teacher: predictions; no gradient.
        targets: the true numbers.
        nu: weight of the bounded term.
        margin: m >= 0, in squared units of the targets.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Chen et al., "Learning Efficient Object Detection Models with Knowledge Distillation" (NeurIPS 2017), equations 4 and 5.
    """
    agree("bounded_regression", student.shape, teacher.shape, targets.shape)
    error = (student - targets).square().sum(dim=1)
    bound = (teacher.detach() - targets).square().sum(dim=1)
    bounded = torch.where(error + margin > bound, error, 0.0)
    huber = F.smooth_l1_loss(student, targets, reduction="none").sum(dim=1)
    return reduce(huber + nu * bounded, reduction)


def attentive_imitation(
    student: Float[Tensor, "batch numbers"],
    teacher: Float[Tensor, "batch numbers"],
    targets: Float[Tensor, "batch numbers"],
    *,
    alpha: float = 0.5,
    eta: Float[Tensor, ""] | float | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Attentive imitation: `alpha ||s - y||^2 + (1 - alpha) phi ||s - t||^2`, `phi = 1 - ||t - y||^2 / eta`.

    The teacher is imitated as far as it can be trusted: not at all where it errs most. Finite as long as squared errors are.

    Args:
        student: predictions; receives the gradient.
        teacher: predictions; no gradient.
        targets: the true numbers.
        alpha: from 0, the teacher alone, to 1, the truth alone.
        eta: largest less smallest squared error of the teacher over the training set, as in the paper; over the batch, if not given.
        reduction: mean over the batch, sum, or one value a sample.

    Differs from the paper: phi is at least 0. The formula goes below where the teacher's smallest error is not 0, and would then reward
    being far from the teacher without bound.
    Source: Saputra et al., "Distilling Knowledge From a Deep Pose Regressor Network" (ICCV 2019), equations 7 to 9.
    """
    agree("attentive_imitation", student.shape, teacher.shape, targets.shape)
    error = (teacher.detach() - targets).square().sum(dim=1)
    spread = largest(error) + largest(-error) if eta is None else torch.as_tensor(eta).to(error)
    # Where all errors are alike, the teacher is trusted if it makes none.
    phi = (1 - error / spread.clamp_min(torch.finfo(error.dtype).tiny)).clamp_min(0.0)
    true, imitation = (student - targets).square(), (student - teacher.detach()).square()
    return reduce(alpha * true.sum(dim=1) + (1 - alpha) * phi * imitation.sum(dim=1), reduction)


def outlier_rejection(
    student: Float[Tensor, "batch numbers"],
    teacher: Float[Tensor, "batch numbers"],
    targets: Float[Tensor, "batch numbers"],
    *,
    deviations: float = 3.0,
    scale: Float[Tensor, ""] | float | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Teacher outlier rejection: `||s - y||^2` where `||t - y|| <= c r`, and 0 for the labels that the teacher tells to be outliers.

    r is a deviation that outliers do not move: 1.4826 times the median of `||t - y||`, which is the standard deviation of normal errors
    of one number. The mean counts rejected samples too.

    Args:
        student: predictions; receives the gradient.
        teacher: predictions; no gradient.
        targets: the labels, some of which may be far off.
        deviations: c, how far a label may be from what the teacher says.
        scale: r over the training set; over the batch, if not given.
        reduction: mean over the batch, sum, or one value a sample.

    Differs from the paper, of which the idea is followed and not every constant: its bound is a function of the same robust deviation
    and of the number of samples, here it is a multiple of the deviation. Its student has a second output that learns what the teacher
    says; here another term does that (`divergence`), on the same output.
    Source: Takamoto, Morishita & Imaoka, "An Efficient Method of Training Small Models for Regression Problems with Knowledge
    Distillation" (MIPR 2020).
    """
    agree("outlier_rejection", student.shape, teacher.shape, targets.shape)
    error = torch.linalg.vector_norm(teacher.detach() - targets, dim=1)
    if scale is None:
        # The lower of two in the middle; of no error there is none.
        middle = error.sort().values[max(len(error) - 1, 0) // 2 :][:1]
        scale = _NORMAL * middle.sum()
    kept = error <= deviations * torch.as_tensor(scale).to(error)
    return reduce(torch.where(kept, (student - targets).square().sum(dim=1), 0.0), reduction)


_NORMAL = 1.4826
"""The standard deviation of a normal distribution over the median of its distances from the middle."""
