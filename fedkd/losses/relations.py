"""Losses on relations between samples: what is alike and what is far apart, whatever the space it lies in.

>>> rkd_distance(torch.rand(8, 16), torch.rand(8, 512))
tensor(...)

Student and teacher may have any shape behind the batch, each its own; it is flattened. Teachers receive no gradient. A loss has as many
values as there are samples: what each adds as the one that others are related to.
"""

import itertools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.losses.checks import agree, one_of, positive
from fedkd.losses.ranking import log_likelihood
from fedkd.losses.reductions import Reduction, nonzero, reduce, scaled, unit

LONGEST = 6
"""Samples of the longest list whose orders `darkrank` goes through one by one: 720 orders for each sample of a batch."""


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
    learned, known = (unit(x @ x.mT) for x in map(scaled, _flat("sp", student, teacher)))
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
    learned, known = _flat("cc", student, teacher)
    agree("cc", learned.shape, known.shape)
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
    positive("gamma", gamma)

    def correlations(x: Tensor) -> Tensor:
        cosines = unit(x)
        cosines = cosines @ cosines.mT
        terms = [(2 * gamma) ** power / math.factorial(power) * cosines**power for power in range(order + 1)]
        return math.exp(-2 * gamma) * torch.stack(terms).sum(dim=0)

    learned, known = (correlations(x) for x in _flat("cckd", student, teacher))
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
        distances = distances_of(scaled(x))
        apart = (distances > 0).sum().clamp_min(1)
        return distances / nonzero(distances.sum() / apart)

    learned, known = (relative(x) for x in _flat("rkd_distance", student, teacher))
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
        x = scaled(x)
        x = x - x.mean(dim=0)
        inner = x @ x.mT
        own = inner.diagonal()
        products = inner - inner[:, :, None] - inner[:, None, :] + own[:, None, None]
        # Of samples in one place there is no direction.
        distances = distances_of(x)
        lengths = torch.where(distances == 0, 0.0, 1 / nonzero(distances))
        return products * lengths[:, :, None] * lengths[:, None, :]

    learned, known = (cosines(x) for x in _flat("rkd_angle", student, teacher))
    return reduce(F.smooth_l1_loss(learned, known, reduction="none").mean(dim=(1, 2)), reduction)


def darkrank(
    student: Float[Tensor, "batch *_"],
    teacher: Float[Tensor, "batch *_"],
    *,
    form: Literal["hard", "soft"] = "hard",
    length: int | None = None,
    alpha: float = 3.0,
    beta: float = 3.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Cross sample similarities: each sample ranks the others by how near they are, and the student learns the teacher's ranking.

    Features q and i at length 1 have the score `s = -alpha |q - i|^beta`, and an order of a list the probability
    `P = product over k of e^s_k / sum over j >= k of e^s_j`. The hard form is `-log P_S` of the order that the teacher finds most likely,
    the soft one `KL(P_T || P_S)` over all orders of the list. Either is 0 where there is only one other sample, or none.

    Args:
        student: embeddings of any width; a rotation and a scaling of them changes nothing.
        teacher: embeddings; no gradient. Of samples that are equally near the first in the batch comes first.
        form: hard or soft.
        length: how many of the teacher's nearest samples the list holds. Without it all in the hard form and 4 in the soft one, whose list
            holds 6 at most.
        alpha: > 0; larger numbers make orders more certain.
        beta: > 0; larger numbers make far samples count more against near ones.
        reduction: mean over the batch, sum, or one value a sample.

    Raises:
        InvalidOption: the list is empty, or too long to go through all of its orders.

    Differs from the authors' code: every sample ranks the others, not one half of the batch; nothing is added to P inside of the logarithm.
    Source: Chen, Wang & Zhang, "DarkRank: Accelerating Deep Metric Learning via Cross Sample Similarities Transfer" (AAAI 2018), equation 1
    and the two transfers that follow it; the hard form is that of Xia et al., "Listwise Approach to Learning to Rank: Theory and Algorithm"
    (ICML 2008), the soft one that of Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (ICML 2007).
    """
    one_of("form", form, ("hard", "soft"))
    positive("alpha", alpha)
    positive("beta", beta)
    soft = form == "soft"
    most = LONGEST if soft else math.inf
    if length is not None and not 1 <= length <= most:
        raise InvalidOption(
            "length", length, f"1 to {LONGEST} samples with form=soft" if soft else "1 sample or more"
        )
    batch, nearest = len(student), 4 if soft and length is None else length
    many = max(batch - 1, 0)
    others = torch.arange(many, device=student.device).expand(batch, many)
    others = others + (others >= torch.arange(batch, device=student.device)[:, None])
    near, known = (distances_of(unit(x)).gather(1, others) for x in _flat("darkrank", student, teacher))
    order = known.sort(dim=1, stable=True).indices[:, :nearest]

    def scores(apart: Tensor) -> Tensor:
        # A power of 0 has no slope at 0, however small the exponent.
        power = torch.where(apart == 0, 0.0, nonzero(apart) ** beta)
        return (-alpha * power).gather(1, order)

    if not soft:
        return reduce(-log_likelihood(scores(near)), reduction)
    orders = torch.tensor(
        [*itertools.permutations(range(order.shape[1]))], dtype=torch.int64, device=order.device
    )
    learned, taught = (log_likelihood(scores(apart)[:, orders]) for apart in (near, known))
    return reduce((taught.exp() * (taught - learned)).sum(dim=1), reduction)


def distances_of(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch"]:
    """Return the Euclidean distance of every two rows; computed from differences, so that equal rows are 0 apart."""
    distances: Tensor = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return distances


def _flat(
    name: str, student: Tensor, teacher: Tensor
) -> tuple[Float[Tensor, "batch _"], Float[Tensor, "batch _"]]:
    agree(name, student.shape[:1], teacher.shape[:1], what="batches")
    return student.flatten(1), teacher.detach().flatten(1)
