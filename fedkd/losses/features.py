"""Losses on features: what layers inside the networks see. Maps are [batch, channels, height, width].

>>> at(torch.rand(8, 16, 7, 7), torch.rand(8, 64, 14, 14))
tensor(...)

A network has several such layers; a loss is about one of each, and losses are added up. Teachers receive no gradient.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses.checks import agree, one_of
from fedkd.losses.reductions import Reduction, reduce, scaled, unit

Pooling = Literal["average", "max"]
"""How maps become smaller."""


Distance = Literal["l2", "l1", "huber", "cosine"]
"""How far features are apart: mean square, mean size, the square up to 1 and linear beyond (halved), or one minus the cosine of each sample's."""


def hint(
    student: Float[Tensor, "batch ..."],
    teacher: Float[Tensor, "batch ..."],
    *,
    distance: Distance = "l2",
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """FitNets' hint: mean squared error between a regressor's image of the student's features and the teacher's.

    Args:
        student: features of the teacher's shape: the output of a `Regressor`, or the features themselves.
        teacher: features; no gradient.
        distance: of the two; FitNets' is `l2`.
        reduction: mean over the batch, sum, or one value a sample.

    Differs from the paper: the mean of the squares in place of half their sum, as in all later comparisons.
    Source: Romero et al., "FitNets: Hints for Thin Deep Nets" (ICLR 2015), equation 3.
    """
    if student.shape != teacher.shape:
        raise IllegalCombination(
            f"hint compares features of one shape; these are {list(student.shape)} and {list(teacher.shape)}; put a Regressor between them"
        )
    one_of("distance", distance, get_args(Distance))
    mine, theirs = student.flatten(1), teacher.detach().flatten(1)
    match distance:
        case "l2":
            apart = (mine - theirs).square().mean(dim=1)
        case "l1":
            apart = (mine - theirs).abs().mean(dim=1)
        case "huber":
            apart = F.huber_loss(mine, theirs, reduction="none").mean(dim=1)
        case "cosine":
            apart = 1.0 - F.cosine_similarity(mine, theirs, dim=1)
    return reduce(apart, reduction)


def at(
    student: Float[Tensor, "batch ..."],
    teacher: Float[Tensor, "batch ..."],
    *,
    power: float = 2.0,
    form: Literal["squares", "norm"] = "squares",
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Attention transfer: the distance of normalised maps of `mean over channels |F|^power`.

    Args:
        student: feature maps of any number of channels; the larger maps are average-pooled to the smaller ones.
        teacher: feature maps; no gradient.
        power: of activations.
        form: `squares` is the mean of the squared differences, the authors' code; `norm` the paper's Euclidean distance.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Zagoruyko & Komodakis, "Paying More Attention to Attention" (ICLR 2017), equation 2.
    """
    one_of("form", form, ("squares", "norm"))
    gap = _gap_of_attention("at", student, teacher, power)
    if form == "norm":
        return reduce(torch.linalg.vector_norm(gap, dim=1), reduction)
    return reduce(gap.square().mean(dim=1), reduction)


def nst(
    student: Float[Tensor, "batch ..."],
    teacher: Float[Tensor, "batch ..."],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Neuron selectivity transfer: squared maximum mean discrepancy of channels under the kernel `(a . b)^2`.

    Each channel's map is normalised; student and teacher may differ in channels; the larger maps are average-pooled.

    Source: Huang & Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer" (2017), equation 4.
    """
    student, teacher = (unit(maps.flatten(2)) for maps in _pooled("nst", student, teacher))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("bcp,bdp->bcd", a, b).square().mean(dim=(1, 2))

    discrepancy = kernel(student, student) + kernel(teacher, teacher) - 2 * kernel(student, teacher)
    return reduce(discrepancy, reduction)


def fsp(
    student: tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]],
    teacher: tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]],
    *,
    pooling: Pooling = "average",
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Flow of the solution procedure: mean squared error of `G = F1 F2^T / (height width)` between two layers.

    Args:
        student: maps of an earlier and of a later layer; the larger ones are pooled. Finite as long as the fourth power of features is.
        teacher: the same of the teacher, with the same numbers of channels; no gradient.
        pooling: by `average`, as RepDistiller does, or by `max`, as the paper does.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Yim et al., "A Gift from Knowledge Distillation" (CVPR 2017), equations 1 and 2.
    """
    one_of("pooling", pooling, get_args(Pooling))
    agree("fsp", student[0].shape[:1], teacher[0].shape[:1], what="batches")

    def flow(pair: tuple[Tensor, Tensor]) -> Tensor:
        first, second = (maps.flatten(2) for maps in _pooled("fsp", *pair, detach=False, pooling=pooling))
        return first @ second.mT / first.shape[-1]

    learned, known = flow(student), flow(teacher).detach()
    if learned.shape != known.shape:
        raise IllegalCombination(
            f"fsp compares layers of equal channels; these have {list(learned.shape[1:])} and {list(known.shape[1:])}"
        )
    return reduce((learned - known).square().mean(dim=(1, 2)), reduction)


def factor_transfer(
    student: Float[Tensor, "batch ..."],
    teacher: Float[Tensor, "batch ..."],
    *,
    form: Literal["maps", "factors"] = "maps",
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Factor transfer: mean absolute difference between normalised factors.

    Args:
        student: the factors that a `Translator` makes of the student's features.
        teacher: those that a `Paraphraser` makes of the teacher's; no gradient.
        form: `maps` compares the mean square over channels, as RepDistiller does: any two networks fit, the larger maps are
            average-pooled. `factors` compares all of both, which must have one shape, as the paper does.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Kim, Park & Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer" (NeurIPS 2018), equation 4.
    """
    one_of("form", form, ("maps", "factors"))
    if form == "maps":
        gap = _gap_of_attention("factor_transfer", student, teacher, 2.0)
    elif student.shape == teacher.shape:
        learned, known = (unit(scaled(x.flatten(1))) for x in (student, teacher.detach()))
        gap = learned - known
    else:
        raise IllegalCombination(
            f"factor_transfer compares factors of one shape; these are {list(student.shape)} and {list(teacher.shape)}; take form=maps, or a "
            "Translator that fits"
        )
    return reduce(gap.abs().mean(dim=1), reduction)


def activation_boundary(
    student: Float[Tensor, "batch ..."],
    teacher: Float[Tensor, "batch ..."],
    *,
    margin: float = 1.0,
    scale: float = 3e-3,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Activation boundaries: a squared hinge that makes the student's neurons active where the teacher's are.

    Args:
        student: values *before* the non-linearity, of the teacher's shape (behind a `Regressor`, where it is another one).
        teacher: values before the non-linearity; no gradient.
        margin: how far beyond the boundary counts as enough.
        scale: factor of the sum over a sample's neurons: 3/1000 in the authors' code, 1 in the paper. Of n layers, the code gives
            layer i (from 0) another factor of `2^(i - n + 1)`.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries" (AAAI 2019), equation 5.
    """
    if student.shape != teacher.shape:
        raise IllegalCombination(
            f"activation_boundary compares neurons of one shape; these are {list(student.shape)} and {list(teacher.shape)}; put a Regressor "
            "between them"
        )
    beyond = torch.where(teacher.detach() > 0, margin - student, margin + student)
    return reduce(scale * F.relu(beyond).square().flatten(1).sum(dim=1), reduction)


def _gap_of_attention(name: str, student: Tensor, teacher: Tensor, power: float) -> Float[Tensor, "batch _"]:
    def attention(maps: Tensor) -> Tensor:
        maps = scaled(maps)
        sizes = maps if power % 2 == 0 else maps.abs()  # an even power has no sign
        return unit(sizes.pow(power).mean(dim=1).flatten(1))

    learned, known = map(attention, _pooled(name, student, teacher))
    return learned - known


def _pooled(
    name: str, student: Tensor, teacher: Tensor, *, detach: bool = True, pooling: Pooling = "average"
) -> tuple[Tensor, Tensor]:
    """Return both maps at the smaller of both sizes."""
    for maps in (student, teacher):
        if maps.dim() != 4:
            raise IllegalCombination(
                f"{name} needs feature maps [batch, channels, height, width], a layer gives {list(maps.shape)}; tap a convolutional layer"
            )
    agree(name, student.shape[:1], teacher.shape[:1], what="batches")
    height, width = (min(sides) for sides in zip(student.shape[2:], teacher.shape[2:], strict=True))
    known = teacher.detach() if detach else teacher
    return _at_size(student, (height, width), pooling), _at_size(known, (height, width), pooling)


def _at_size(maps: Tensor, size: tuple[int, int], pooling: Pooling) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return F.adaptive_avg_pool2d(maps, size) if pooling == "average" else F.adaptive_max_pool2d(maps, size)
