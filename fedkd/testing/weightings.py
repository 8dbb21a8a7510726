"""What must hold of every weighting of teachers."""

import torch
from torch import Tensor

from fedkd.aggregation.folding import Folding
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.weightings import WEIGHTINGS
from fedkd.aggregation.weightings.base import Weighting, shares
from fedkd.foundation.seeding import Streams
from fedkd.testing.contract import Contract, generators_left_alone, require

TEACHERS, SAMPLES, CLASSES = 5, 12, 6


def weights_are_shares(weighting: Weighting) -> None:
    """On every sample the weights are at least 0 and sum to 1, for one teacher and many, for classes and numbers."""
    for teachers in (1, TEACHERS):
        for outputs in (1, CLASSES):
            _require_shares(weighting.weigh(_outputs(teachers, outputs), _sizes(teachers)), teachers)


def extreme_outputs_give_shares(weighting: Weighting) -> None:
    """So they are where teachers are far too sure, say nothing, or are of very different size."""
    sizes = 10.0 ** torch.arange(TEACHERS)
    for outputs in (1e4 * _outputs(), 0.0 * _outputs()):
        _require_shares(weighting.weigh(outputs, sizes), TEACHERS)


def weights_follow_their_teachers(weighting: Weighting) -> None:
    """Teachers in another order have the same weights in that order."""
    order = torch.randperm(TEACHERS, generator=Streams(0).torch("order"))
    weights = weighting.weigh(_outputs(), _sizes())
    moved = weighting.weigh(_outputs()[order], _sizes()[order])
    require(
        torch.allclose(weights[order], moved, rtol=1e-4, atol=1e-6),
        "teachers in another order weigh something else",
    )


def teachers_are_left_as_they_are(weighting: Weighting) -> None:
    """Weighing writes into nothing, draws from no global generator, and says the same twice."""
    outputs, sizes = _outputs(), _sizes()
    with generators_left_alone():
        first = weighting.weigh(outputs, sizes)
    require(
        torch.equal(outputs, _outputs()) and torch.equal(sizes, _sizes()), "it writes into what it is given"
    )
    require(torch.equal(first, weighting.weigh(outputs, sizes)), "weighing twice gives different weights")


def answers_can_come_one_by_one(weighting: Weighting) -> None:
    """Teachers that are weighed one by one, in any order, some on a part of the samples, have the weights of all at once."""
    outputs, sizes = _outputs(), _sizes()
    spoken = torch.arange(SAMPLES - 1, 0, -2)
    present = torch.ones(TEACHERS, SAMPLES)
    present[0] = torch.zeros(SAMPLES).index_fill(0, spoken, 1.0)
    outputs = outputs * present[..., None]
    weights = shares(weighting.weigh(outputs, sizes) * present)
    for order in (range(TEACHERS), reversed(range(TEACHERS))):
        folding = Folding(MeanLogits(), weighting, samples=SAMPLES)
        for teacher in order:
            rows = None if teacher else spoken
            said = outputs[teacher] if rows is None else outputs[teacher, rows]
            folding.add(teacher, said, size=int(sizes[teacher]), rows=rows)
        fused = folding.result()
        means = torch.tensor([fused.weights[teacher] for teacher in range(TEACHERS)])
        same = torch.allclose(means, weights.mean(dim=1), rtol=1e-4, atol=1e-6)
        target = MeanLogits().fuse(outputs, weights)
        require(
            same and torch.allclose(fused.scores, target, rtol=1e-4, atol=1e-5),
            "teachers one by one weigh something else than all at once",
        )


CONTRACT = Contract(
    WEIGHTINGS,
    Weighting,
    (
        weights_are_shares,
        extreme_outputs_give_shares,
        weights_follow_their_teachers,
        teachers_are_left_as_they_are,
        answers_can_come_one_by_one,
    ),
)


def _require_shares(weights: Tensor, teachers: int) -> None:
    shape, wanted = tuple(weights.shape), (teachers, SAMPLES)
    require(shape == wanted, f"the weights have the shape {shape}, not {wanted}")
    require(weights.isfinite().all() and (weights >= 0).all(), "a weight is negative or not finite")
    sums = weights.sum(dim=0)
    require(
        torch.allclose(sums, torch.ones(SAMPLES), atol=1e-5), f"weights sum to {float(sums[0]):.4g}, not 1"
    )


def _outputs(teachers: int = TEACHERS, outputs: int = CLASSES) -> Tensor:
    return 2.0 * torch.randn(teachers, SAMPLES, outputs, generator=Streams(0).torch("outputs"))


def _sizes(teachers: int = TEACHERS) -> Tensor:
    return torch.tensor([30.0, 1.0, 7.0, 200.0, 12.0])[:teachers]
