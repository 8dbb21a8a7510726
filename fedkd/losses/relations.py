"""Losses on relations between samples: what is alike and what is far apart, whatever the space it lies in.

>>> rkd_distance(torch.rand(8, 16), torch.rand(8, 512))
tensor(...)

Student and teacher may have any shape behind the batch, each its own; it is flattened. Teachers receive no gradient. A loss has as many
values as there are samples: what each adds as the one that others are related to.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.losses.reductions import Reduction, nonzero, reduce, unit


def sp(
    student: Float[Tensor, "batch *_"],
    teacher: Float[Tensor, "batch *_"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Similarity preserving: `||G_S - G_T||_F^2 / batch^2`, G the inner products of all pairs, each row at length 1.

    It is 0 under a rotation and a scaling of the features, and not under a shift.

    Source: Tung & Mori, "Similarity-Preserving Knowledge Distillation" (ICCV 2019), equation 4.
    """
    learned, known = (unit(x @ x.mT) for x in _flat(student, teacher))
    return reduce((learned - known).square().mean(dim=1), reduction)


def cc(
    student: Float[Tensor, "batch *shape"],
    teacher: Float[Tensor, "batch *shape"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*pairs"]:
    """Correlation congruence of adjacent samples: mean over i of `D_i . D_(i+1)`, `D = |f_S - f_T|`.

    This is what RepDistiller calls by this name; `cckd` is the paper's. A batch of one has no pair, and costs nothing.

    Args:
        student: embeddings of the teacher's width.
        teacher: embeddings; no gradient.
        reduction: mean over the pairs, sum, or one value for each of the `batch - 1` pairs.

    Source: after Peng et al., "Correlation Congruence for Knowledge Distillation" (ICCV 2019).
    """
    learned, known = _flat(student, teacher)
    gap = (learned - known).abs()
    return reduce((gap[:-1] * gap[1:]).sum(dim=1), reduction)


def cckd(
    student: Float[Tensor, "batch *_"],
    teacher: Float[Tensor, "batch *_"],
    *,
    gamma: float = 0.4,
    order: int = 2,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Correlation congruence: mean squared error of the correlations of all pairs under a Gaussian kernel.

    The kernel `exp(-gamma ||a - b||^2)` is expanded in powers of `a . b`, which holds for vectors of length 1: features are normalised.

    Args:
        student: embeddings of any width.
        teacher: embeddings; no gradient.
        gamma: of the kernel, > 0.
        order: the highest power.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Peng et al., "Correlation Congruence for Knowledge Distillation" (ICCV 2019), equations 7 to 9.
    """

    def correlations(x: Tensor) -> Tensor:
        cosines = unit(x)
        cosines = cosines @ cosines.mT
        terms = [(2 * gamma) ** power / math.factorial(power) * cosines**power for power in range(order + 1)]
        return math.exp(-2 * gamma) * torch.stack(terms).sum(dim=0)

    learned, known = (correlations(x) for x in _flat(student, teacher))
    return reduce((learned - known).square().mean(dim=1), reduction)


def rkd_distance(
    student: Float[Tensor, "batch *_"],
    teacher: Float[Tensor, "batch *_"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Relational distillation of distances: Huber loss between the distances of all pairs, each over their mean.

    It is 0 under a rotation, a scaling and a shift of the features.

    Source: Park et al., "Relational Knowledge Distillation" (CVPR 2019), equations 5 to 7.
    """

    def relative(x: Tensor) -> Tensor:
        distances = distances_of(x)
        apart = (distances > 0).sum().clamp_min(1)
        return distances / nonzero(distances.sum() / apart)

    learned, known = (relative(x) for x in _flat(student, teacher))
    return reduce(F.smooth_l1_loss(learned, known, reduction="none").mean(dim=1), reduction)


def rkd_angle(
    student: Float[Tensor, "batch *_"],
    teacher: Float[Tensor, "batch *_"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Relational distillation of angles: Huber loss between the cosines at each sample of the angles to all pairs of others.

    It is 0 under a rotation, a scaling and a shift of the features. Memory grows with the third power of the batch.

    Source: Park et al., "Relational Knowledge Distillation" (CVPR 2019), equations 8 and 9.
    """

    def cosines(x: Tensor) -> Tensor:
        # (f_b - f_a) . (f_c - f_a) from inner products, about the mean, so that a shift of all costs no digits.
        x = x - x.mean(dim=0)
        inner = x @ x.mT
        own = inner.diagonal()
        products = inner - inner[:, :, None] - inner[:, None, :] + own[:, None, None]
        # Of samples in one place there is no direction.
        distances = distances_of(x)
        lengths = torch.where(distances == 0, 0.0, 1 / nonzero(distances))
        return products * lengths[:, :, None] * lengths[:, None, :]

    learned, known = (cosines(x) for x in _flat(student, teacher))
    return reduce(F.smooth_l1_loss(learned, known, reduction="none").mean(dim=(1, 2)), reduction)


def distances_of(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch"]:
    """Return the Euclidean distance of every two rows; computed from differences, so that equal rows are 0 apart."""
    distances: Tensor = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return distances


def _flat(student: Tensor, teacher: Tensor) -> tuple[Float[Tensor, "batch _"], Float[Tensor, "batch _"]]:
    return student.flatten(1), teacher.detach().flatten(1)
