"""What must hold of every weighting of teachers."""

import torch
from torch import Tensor

from fedkd.aggregation.weightings import WEIGHTINGS
from fedkd.aggregation.weightings.base import Weighting
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


CONTRACT = Contract(
    WEIGHTINGS,
    Weighting,
    (
        weights_are_shares,
        extreme_outputs_give_shares,
        weights_follow_their_teachers,
        teachers_are_left_as_they_are,
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
