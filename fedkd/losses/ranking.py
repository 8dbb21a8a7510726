"""Losses on rankings: outputs are scores of items, larger is better; a sample of the batch is a user or a query.

>>> rd(torch.rand(4, 100), torch.rand(4, 100), top=10)
tensor(...)

Teachers receive no gradient.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.losses.checks import agree, positive
from fedkd.losses.reductions import Reduction, reduce


def rd(
    student: Float[Tensor, "users items"],
    teacher: Float[Tensor, "users items"],
    *,
    top: int = 10,
    decay: float = 1.0,
    discrepancy: float | None = 0.1,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*users"]:
    """Ranking distillation: `-sum over r < top of w_r log sigmoid(student's score of the teacher's r-th item)`.

    The weight of a place is `e^(-r / decay)` over the sum of these; it is multiplied by `relu(tanh(discrepancy (student's rank - r)))`, so
    that items count which the student ranks too low. Ranks start at 0 (equal scores share the first), and are of all items, which the paper
    estimates from a sample. The
    product is not divided by its sum, as in the authors' code with its defaults.

    Args:
        student: scores; receives the gradient, its ranks have none.
        teacher: scores, of which only the order counts; no gradient.
        top: how many of the teacher's items count; all where there are fewer.
        decay: how slowly the weight falls with the place, > 0.
        discrepancy: how quickly the weight grows with the gap between ranks; none is the paper's warm-up, in which places alone count.
        reduction: mean over the users, sum, or one value a user.

    Source: Tang & Wang, "Ranking Distillation" (KDD 2018), equations 7 to 10.
    """
    agree("rd", student.shape, teacher.shape)
    positive("decay", decay)
    if top < 1:
        raise InvalidOption("top", top, "1 item or more")
    top = min(top, student.shape[1])
    chosen = teacher.detach().topk(top, dim=1).indices
    place = torch.arange(top, device=student.device, dtype=student.dtype)
    weight = torch.softmax(-place / decay, dim=0).expand(len(student), top)
    if discrepancy is not None:
        scores = student.detach()
        rank = (scores[:, None] > scores.gather(1, chosen)[:, :, None]).sum(dim=2).to(student)
        weight = weight * F.relu(torch.tanh(discrepancy * (rank - place)))
    return reduce(-(weight * F.logsigmoid(student.gather(1, chosen))).sum(dim=1), reduction)


def rrd(
    interesting: Float[Tensor, "users k"],
    uninteresting: Float[Tensor, "users l"],
    *,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*users"]:
    """Relaxed ranking distillation: `-sum over k of log(e^s_k / (sum over j >= k of e^s_j + sum over l of e^u_l))`.

    The interesting items are to be ranked as the teacher ranks them and above all uninteresting ones, whose order is free.

    Args:
        interesting: the *student's* scores s of items that the teacher ranks high, in the teacher's order (see `rrd_items`).
        uninteresting: the student's scores u of items that the teacher ranks below those.
        reduction: mean over the users, sum (as in the paper), or one value a user.

    Source: Kang et al., "DE-RRD: A Knowledge Distillation Framework for Recommender System" (CIKM 2020), equations 9 and 10.
    """
    agree("rrd", interesting.shape[:1], uninteresting.shape[:1], what="users")
    later = interesting.flip(1).logcumsumexp(dim=1).flip(1)
    below = uninteresting.logsumexp(dim=1, keepdim=True).expand_as(later)
    return reduce((torch.logaddexp(later, below) - interesting).sum(dim=1), reduction)


def rrd_items(
    teacher: Float[Tensor, "users items"],
    *,
    interesting: int = 40,
    uninteresting: int = 40,
    temperature: float = 10.0,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "users k"], Int[Tensor, "users l"]]:
    """Draw the items that `rrd` is about from a teacher's ranking.

    Interesting items are drawn without replacement, an item at place r with a weight of `e^(-r / temperature)`, and come back in the
    teacher's order. Uninteresting ones are drawn evenly from what the teacher ranks below all of them; so that there are enough, the
    last `uninteresting` places are never interesting.

    Raises:
        InvalidOption: there are fewer items than are asked for.
    """
    positive("temperature", temperature)
    users, items = teacher.shape
    if interesting + uninteresting > items:
        raise InvalidOption(
            "interesting", interesting, f"with uninteresting={uninteresting}, at most all {items} items"
        )
    order = _order(teacher.detach())
    # The largest of log-weight plus Gumbel noise are a draw without replacement.
    place = torch.arange(items - uninteresting)
    places = _drawn(-place / temperature, (users, len(place)), interesting, generator)
    below = torch.arange(items) > places[:, -1:]
    rest = _drawn(torch.zeros(items).where(below, -math.inf), (users, items), uninteresting, generator)
    return order.gather(1, places.to(order.device)), order.gather(1, rest.to(order.device))


def log_likelihood(scores: Float[Tensor, "*lists items"]) -> Float[Tensor, "*lists"]:
    """Return how likely the order is in which the scores stand, as a logarithm: `sum over k of log(e^s_k / sum over j >= k of e^s_j)`.

    An empty list has one order, and the value 0.

    Source: Plackett, "The Analysis of Permutations" (Applied Statistics 1975).
    """
    later = scores.flip(-1).logcumsumexp(dim=-1).flip(-1)
    return (scores - later).sum(dim=-1)


def cd(
    student: Float[Tensor, "users items"],
    teacher: Float[Tensor, "users items"],
    *,
    temperature: float = 1.0,
    bias: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*users"]:
    """Collaborative distillation: `-sum over items of q log sigmoid(s) + (1 - q) log(1 - sigmoid(s))`, `q = sigmoid((t + bias) / temperature)`.

    Args:
        student: scores s of the items that were drawn (see `cd_items`).
        teacher: the teacher's scores t of the same items; no gradient.
        temperature: softens the teacher's probabilities, > 0.
        bias: is added to the teacher's scores: what counts as an even chance is a score of `-bias`.
        reduction: mean over the users, sum (as in the paper), or one value a user.

    Source: Lee et al., "Collaborative Distillation for Top-N Recommendation" (ICDM 2019).
    """
    agree("cd", student.shape, teacher.shape)
    positive("temperature", temperature)
    softened = torch.sigmoid((teacher.detach() + bias) / temperature)
    each = F.binary_cross_entropy_with_logits(student, softened, reduction="none")
    return reduce(each.sum(dim=1), reduction)


def cd_items(
    scores: Float[Tensor, "users items"], *, count: int, decay: float, generator: torch.Generator
) -> Int[Tensor, "users count"]:
    """Draw the items that `cd` is about from a ranking: without replacement, an item at place r (from 0) with a weight of `e^(-r / decay)`.

    Args:
        scores: of whoever guides, the teacher or the student; only their order counts.
        count: items to draw.
        decay: over so many places the chance falls to 1/e, > 0.
        generator: draws.

    Returns:
        The items, those of higher rank first.

    Raises:
        InvalidOption: there are fewer items than are asked for.
    """
    positive("decay", decay)
    if count > scores.shape[1]:
        raise InvalidOption("items", count, f"at most all {scores.shape[1]} items")
    places = _drawn(-torch.arange(scores.shape[1]) / decay, tuple(scores.shape), count, generator)
    return _order(scores.detach()).gather(1, places.to(scores.device))


def _drawn(
    log_weights: Tensor, shape: tuple[int, ...], count: int, generator: torch.Generator
) -> Int[Tensor, "users count"]:
    noise = -torch.empty(shape).exponential_(generator=generator).log()
    return (log_weights + noise).topk(count, dim=1).indices.sort(dim=1).values


def _order(scores: Float[Tensor, "users items"]) -> Int[Tensor, "users items"]:
    """Return the items from the highest score down; of equal ones the first comes first."""
    return scores.argsort(dim=1, descending=True, stable=True)
