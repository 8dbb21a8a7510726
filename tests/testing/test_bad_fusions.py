import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion, MeanFusion
from fedkd.aggregation.weightings.base import LoneWeighting, Weighting
from fedkd.testing import fusions, weightings
from fedkd.testing.contract import Clause, run_clauses

Fuse = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Faulty(Fusion):
    """Fuses as it is told to."""

    rule: Fuse

    def fuse(self, outputs: Tensor, weights: Tensor) -> Tensor:
        return self.rule(outputs, weights)


@dataclass(frozen=True, kw_only=True)
class Unfair(Weighting):
    """Weighs as it is told to."""

    rule: Fuse

    def weigh(self, outputs: Tensor, sizes: Tensor) -> Tensor:
        return self.rule(outputs, sizes)


@dataclass(frozen=True, kw_only=True)
class Centred(MeanFusion):
    """Looks at other samples, of which a client that speaks about a part has not spoken."""

    def summand(self, outputs: Tensor) -> Tensor:
        return outputs - outputs.mean(dim=0)

    def finish(self, mean: Tensor) -> Tensor:
        return mean


@dataclass(frozen=True, kw_only=True)
class TwoFaced(LoneWeighting):
    """Weighs teachers in another way when they are together."""

    def alone(self, outputs: Tensor, size: float) -> Tensor:
        return outputs.new_full(outputs.shape[:1], size)

    def weigh(self, outputs: Tensor, sizes: Tensor) -> Tensor:
        return super().weigh(outputs, sizes.sqrt())


def log_mean_probability(outputs: Tensor, weights: Tensor) -> Tensor:
    return torch.logsumexp(F.log_softmax(outputs, dim=-1) + weights.log()[..., None], dim=0)


def in_place(outputs: Tensor, weights: Tensor) -> Tensor:
    outputs -= outputs.amax(dim=-1, keepdim=True)
    return log_mean_probability(outputs, weights)


def first_teachers_count_more(outputs: Tensor, weights: Tensor) -> Tensor:
    ranks = torch.arange(len(outputs), 0, -1)[:, None]
    shares = weights * ranks
    return log_mean_probability(outputs, shares / shares.sum(dim=0))


def through_probabilities(outputs: Tensor, weights: Tensor) -> Tensor:
    return torch.einsum("kn,kno->no", weights, outputs.softmax(dim=-1)).log()


def least_sure_wins(outputs: Tensor, weights: Tensor) -> Tensor:
    return -log_mean_probability(outputs, weights)


def equally(outputs: Tensor, weights: Tensor) -> Tensor:
    return outputs.log_softmax(dim=-1).logsumexp(dim=0) + 0.0 * weights.sum()


def for_each_teacher(outputs: Tensor, weights: Tensor) -> Tensor:
    return outputs * weights[..., None]


def size_over_samples(outputs: Tensor, sizes: Tensor) -> Tensor:
    return (sizes / sizes.sum())[:, None].expand(outputs.shape[:2]) * 2.0


def confident(outputs: Tensor, sizes: Tensor) -> Tensor:
    scores = outputs.exp().amax(dim=-1) * sizes[:, None]
    return scores / scores.sum(dim=0)


def by_rank(outputs: Tensor, sizes: Tensor) -> Tensor:
    del sizes
    return F.softmax(torch.arange(len(outputs)).float(), dim=0)[:, None].expand(outputs.shape[:2])


def sorts_sizes(outputs: Tensor, sizes: Tensor) -> Tensor:
    shares = (sizes / sizes.sum())[:, None].expand(outputs.shape[:2]).clone()
    outputs.zero_()
    return shares


BAD_FUSIONS: list[tuple[Clause, Fuse]] = [
    (fusions.one_target_for_each_sample, for_each_teacher),
    (fusions.the_order_of_teachers_does_not_matter, first_teachers_count_more),
    (fusions.a_teacher_of_weight_0_does_not_matter, equally),
    (fusions.all_weight_on_one_teacher_gives_its_answer, equally),
    (fusions.teachers_that_agree_are_believed, least_sure_wins),
    (fusions.extreme_outputs_stay_finite, through_probabilities),
    (fusions.teachers_are_left_as_they_are, in_place),
]
BAD_WEIGHTINGS: list[tuple[Clause, Fuse]] = [
    (weightings.weights_are_shares, size_over_samples),
    (weightings.extreme_outputs_give_shares, confident),
    (weightings.weights_follow_their_teachers, by_rank),
    (weightings.teachers_are_left_as_they_are, sorts_sizes),
]


ALL_AT_ONCE: list[tuple[Clause, Fusion | Weighting]] = [
    (fusions.answers_can_come_one_by_one, Centred()),
    (weightings.answers_can_come_one_by_one, TwoFaced()),
]


@pytest.mark.parametrize(("clause", "rule"), BAD_FUSIONS, ids=lambda value: value.__name__)
def test_a_fusion_that_breaks_a_clause_is_caught_by_it(clause: Clause, rule: Fuse) -> None:
    (caught,) = run_clauses(Faulty(rule=rule), [clause])
    assert not caught.passed


@pytest.mark.parametrize(("clause", "rule"), BAD_WEIGHTINGS, ids=lambda value: value.__name__)
def test_a_weighting_that_breaks_a_clause_is_caught_by_it(clause: Clause, rule: Fuse) -> None:
    (caught,) = run_clauses(Unfair(rule=rule), [clause])
    assert not caught.passed


@pytest.mark.parametrize(("clause", "part"), ALL_AT_ONCE, ids=["fusion", "weighting"])
def test_a_part_that_says_another_thing_one_by_one_than_all_at_once_is_caught(
    clause: Clause, part: Fusion | Weighting
) -> None:
    (caught,) = run_clauses(part, [clause])
    assert "one by one" in caught.message


def test_every_clause_about_teachers_has_a_part_that_breaks_it() -> None:
    tried = {clause for clause, _ in (*BAD_FUSIONS, *BAD_WEIGHTINGS, *ALL_AT_ONCE)}
    assert tried == {*fusions.CONTRACT.clauses, *weightings.CONTRACT.clauses}


def test_a_fusion_that_raises_is_caught_with_its_error() -> None:
    def fails(outputs: Tensor, weights: Tensor) -> Tensor:
        raise ZeroDivisionError(f"{math.prod(outputs.shape)} outputs,\n{math.prod(weights.shape)} weights")

    (caught,) = run_clauses(Faulty(rule=fails), [fusions.the_order_of_teachers_does_not_matter])
    assert caught.message == "ZeroDivisionError: 360 outputs, 60 weights"
