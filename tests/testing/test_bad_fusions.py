import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion, MeanFusion
from fedkd.aggregation.teachers import Fault, Form, Teachers, Witness, shares
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

    @property
    def spots(self) -> frozenset[Fault]:
        return frozenset({"error"})

    def weigh(self, teachers: Teachers) -> Tensor:
        return self.rule(teachers.outputs, teachers.sizes)


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

    def alone(self, teachers: Teachers) -> Tensor:
        return teachers.each(teachers.sizes)

    def weigh(self, teachers: Teachers) -> Tensor:
        return super().weigh(replace(teachers, sizes=teachers.sizes.sqrt()))


@dataclass(frozen=True, kw_only=True)
class Hearsay(Weighting):
    """Believes what clients say of themselves, divides by it unseen, and lets them say it in the wrong form."""

    @property
    def sends(self) -> Mapping[str, Form]:
        return {"merit": "number"}

    def testify(self, client: Witness, ids: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        del ids, generator
        return {"merit": torch.ones(len(client.private()))}

    def weigh(self, teachers: Teachers) -> Tensor:
        merit = teachers.sent["merit"]
        return teachers.each(merit / merit.sum())


@dataclass(frozen=True, kw_only=True)
class Boastful(Fusion):
    """The mean, said to withstand corrupt teachers."""

    @property
    def breakdown(self) -> float:
        return 0.3

    def fuse(self, outputs: Tensor, weights: Tensor) -> Tensor:
        return log_mean_probability(outputs, weights)


@dataclass(frozen=True, kw_only=True)
class Absentminded(Weighting):
    """Compares teachers with those who said nothing."""

    def weigh(self, teachers: Teachers) -> Tensor:
        sure = teachers.outputs.softmax(dim=-1).amax(dim=-1)
        return shares((sure - 0.9 * sure.amin(dim=0)).clamp_min(0.0), teachers.present)


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


def shares_by_size(outputs: Tensor, sizes: Tensor) -> Tensor:
    return (sizes / sizes.sum())[:, None].expand(outputs.shape[:2]).roll(-1, dims=0)


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
    (fusions.a_teacher_of_weight_0_does_not_matter, through_probabilities),
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


BAD_ALONE: list[tuple[Clause, Fusion | Weighting]] = [
    (fusions.the_share_of_corrupt_teachers_that_it_states_does_little, Boastful()),
    (weightings.nothing_but_zeros_gives_shares, Hearsay()),
    (weightings.clients_can_say_what_it_needs, Hearsay()),
    (weightings.absent_teachers_count_for_nothing, Absentminded()),
    (weightings.identical_teachers_weigh_the_same, Unfair(rule=by_rank)),
    (weightings.faults_that_it_spots_cost_weight, Unfair(rule=shares_by_size)),
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


@pytest.mark.parametrize(("clause", "part"), BAD_ALONE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_part_that_promises_too_much_is_caught(clause: Clause, part: Fusion | Weighting) -> None:
    (caught,) = run_clauses(part, [clause])
    assert not caught.passed
    assert "Error" not in caught.message


@pytest.mark.parametrize(("clause", "part"), ALL_AT_ONCE, ids=["fusion", "weighting"])
def test_a_part_that_says_another_thing_one_by_one_than_all_at_once_is_caught(
    clause: Clause, part: Fusion | Weighting
) -> None:
    (caught,) = run_clauses(part, [clause])
    assert "one by one" in caught.message


def test_every_clause_about_teachers_has_a_part_that_breaks_it() -> None:
    tried = {clause for clause, _ in (*BAD_FUSIONS, *BAD_WEIGHTINGS, *BAD_ALONE, *ALL_AT_ONCE)}
    assert tried == {*fusions.CONTRACT.clauses, *weightings.CONTRACT.clauses}


def test_a_fusion_that_raises_is_caught_with_its_error() -> None:
    def fails(outputs: Tensor, weights: Tensor) -> Tensor:
        raise ZeroDivisionError(f"{math.prod(outputs.shape)} outputs,\n{math.prod(weights.shape)} weights")

    (caught,) = run_clauses(Faulty(rule=fails), [fusions.the_order_of_teachers_does_not_matter])
    assert caught.message == "ZeroDivisionError: 360 outputs, 60 weights"
