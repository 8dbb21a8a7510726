from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.clients import ClientStrategy, Situation, Stage, Step, samplewise
from fedkd.testing import check_part
from fedkd.testing.client_strategies import CONTRACT
from fedkd.testing.contract import GENERAL, run_clauses

BROKEN: dict[str, ClientStrategy] = {}
"""The clause that a strategy breaks -> the strategy."""


def breaks(clause: str) -> Callable[[type[ClientStrategy]], type[ClientStrategy]]:
    def note(cls: type[ClientStrategy]) -> type[ClientStrategy]:
        BROKEN[clause] = cls()
        return cls

    return note


@breaks("rounds_work_with_and_without_knowledge")
@dataclass(frozen=True, kw_only=True)
class NeedsATeacherAtOnce(ClientStrategy):
    """Does not think of the first round."""

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        return {"means": situation.received.values}


@breaks("stages_have_names_of_their_own")
@dataclass(frozen=True, kw_only=True)
class NamesStagesAlike(ClientStrategy):
    """Trains in two stages of one name, which see the same batches."""

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        return (*super().stages(situation), *super().stages(situation))


@breaks("losses_are_one_finite_number")
@dataclass(frozen=True, kw_only=True)
class ForgetsTheMean(ClientStrategy):
    """Returns a loss for each sample."""

    def train_loss(self, step: Step) -> Tensor:
        return step.task.supervised(step.outputs.logits, step.targets)


@breaks("losses_change_nothing")
@dataclass(frozen=True, kw_only=True)
class DecaysByHand(ClientStrategy):
    """Shrinks the weights inside its loss."""

    def train_loss(self, step: Step) -> Tensor:
        for weight in step.parameters.values():
            weight.data.mul_(0.9)
        return super().train_loss(step)


@breaks("the_gradient_reaches_every_parameter")
@dataclass(frozen=True, kw_only=True)
class LearnsFeaturesOnly(ClientStrategy):
    """Never teaches the last layer."""

    def train_loss(self, step: Step) -> Tensor:
        return (
            (step.outputs.features.sum(dim=-1) - step.targets.float().reshape(len(step.targets)))
            .square()
            .mean()
        )


@breaks("clients_of_0_1_and_7_samples_work")
@dataclass(frozen=True, kw_only=True)
class NeedsASpread(ClientStrategy):
    """Divides by the number of the batch's samples less one."""

    def train_loss(self, step: Step) -> Tensor:
        return super().train_loss(step) + 0.1 * step.outputs.features.std(dim=0).mean()


@breaks("absent_classes_work")
@dataclass(frozen=True, kw_only=True)
class NeedsEveryClass(ClientStrategy):
    """Takes the mean over the samples of each class, whether there are any or not."""

    needs_classes: ClassVar[bool] = True

    def train_loss(self, step: Step) -> Tensor:
        losses = step.task.supervised(step.outputs.logits, step.targets)
        return torch.stack([losses[step.targets == label].mean() for label in range(10)]).mean()


@breaks("numbers_work_unless_it_needs_classes")
@dataclass(frozen=True, kw_only=True)
class TakesClassesForGranted(ClientStrategy):
    """Takes the cross-entropy of whatever there is."""

    def train_loss(self, step: Step) -> Tensor:
        return F.cross_entropy(step.outputs.logits, step.targets)


@breaks("marked_losses_are_means_over_samples")
@dataclass(frozen=True, kw_only=True)
class SumsAndSaysMean(ClientStrategy):
    """Marks a sum over the batch as a mean."""

    @samplewise
    def train_loss(self, step: Step) -> Tensor:
        return step.task.supervised(step.outputs.logits, step.targets).sum()


@breaks("both_engines_give_the_same")
@dataclass(frozen=True, kw_only=True)
class DecidesByValue(ClientStrategy):
    """Doubles a loss that is large."""

    def train_loss(self, step: Step) -> Tensor:
        loss = super().train_loss(step)
        return loss * 2 if loss.item() > 1.0 else loss


@breaks("two_runs_give_the_same_bytes")
@dataclass(frozen=True, kw_only=True)
class LooksAtTheClock(ClientStrategy):
    """Weighs its loss by the time of day."""

    def train_loss(self, step: Step) -> Tensor:
        return super().train_loss(step) * (0.5 + perf_counter_ns() % 1000 / 1000)


@breaks("the_order_of_clients_does_not_matter")
@dataclass(frozen=True, kw_only=True)
class LearnsLessLater(ClientStrategy):
    """Counts, over all clients of the process, how often it was asked."""

    asked: ClassVar[list[int]] = []

    def train_loss(self, step: Step) -> Tensor:
        self.asked.append(len(step.targets))
        return super().train_loss(step) / len(self.asked)


@breaks("a_client_goes_on_from_its_stored_state")
@dataclass(frozen=True, kw_only=True)
class CountsItsRounds(ClientStrategy):
    """Keeps in itself how many rounds there were."""

    rounds: list[int] = field(default_factory=list)
    """Changed as it goes, though it is an option."""

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        if not situation.first:
            self.rounds.append(1)
        return super().stages(situation)

    def train_loss(self, step: Step) -> Tensor:
        return super().train_loss(step) * (1 + len(self.rounds))


@breaks("global_generators_are_left_alone")
@dataclass(frozen=True, kw_only=True)
class AddsNoise(ClientStrategy):
    """Draws noise from the generator that all share."""

    def train_loss(self, step: Step) -> Tensor:
        return super().train_loss(step) * (0.5 + torch.rand(()))


@breaks("is_a_frozen_dataclass")
class ForgetsTheDecorator(ClientStrategy):
    """Has an option that is none."""

    strength: float = 1.0
    """Of no effect."""


@breaks("survives_pickling")
@dataclass(frozen=True, kw_only=True)
class HoldsAFunction(ClientStrategy):
    """Builds a function when it is made."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "measure", lambda loss: loss)


@breaks("survives_its_config")
@dataclass(frozen=True, kw_only=True)
class ChangesItsOptions(ClientStrategy):
    """Halves an option when it is made."""

    strength: float = 1.0
    """Twice what it says."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", self.strength / 2)


@breaks("says_what_it_is")
@dataclass(frozen=True, kw_only=True)
class SaysNothing(ClientStrategy):
    strength: float = 1.0


CLAUSES = {clause.__name__: clause for clause in (*GENERAL, *CONTRACT.clauses)}


def message_of(clause: str) -> str:
    (caught,) = run_clauses(BROKEN[clause], [CLAUSES[clause]])
    assert not caught.passed
    return caught.message


@pytest.mark.parametrize("clause", BROKEN)
def test_a_strategy_that_breaks_a_clause_is_caught_by_it(clause: str) -> None:
    message = message_of(clause)
    assert message
    assert "\n" not in message


def test_every_clause_has_a_strategy_that_breaks_it() -> None:
    assert BROKEN.keys() == CLAUSES.keys()


def test_a_message_says_what_to_do() -> None:
    assert "say needs_classes = True" in message_of("numbers_work_unless_it_needs_classes")
    assert "take a stream of Streams" in message_of("global_generators_are_left_alone")
    assert "take the mean over the batch" in message_of("losses_are_one_finite_number")
    assert "says vectorises = False" in message_of("both_engines_give_the_same")
    assert "leave the mark out" in message_of("marked_losses_are_means_over_samples")
    assert "@dataclass(frozen=True, kw_only=True)" in message_of("is_a_frozen_dataclass")


def test_a_broken_clause_keeps_no_other_from_being_tried() -> None:
    checks = check_part(BROKEN["rounds_work_with_and_without_knowledge"])
    assert [check.name for check in checks] == [name.replace("_", " ") for name in CLAUSES]
    assert any(check.passed for check in checks)
