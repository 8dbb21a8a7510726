"""What client strategies have in common whose networks answer at several places."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.clients.base import ClientStrategy, Step


@dataclass(frozen=True, kw_only=True)
class Exits(ClientStrategy):
    """Trains a network with several exits, such as `model=peers`, `model=branches` or `model=early_exits`."""

    needs_exits: ClassVar[bool] = True


def exits_of(step: Step) -> tuple[Float[Tensor, "batch ... outputs"], ...]:
    """Return what each exit says about the batch, each [batch, outputs], or with heads before the outputs."""
    assert step.outputs.exits is not None
    return step.outputs.exits.unbind(dim=1)


def supervised(step: Step, said: Float[Tensor, "batch ... outputs"]) -> Float[Tensor, ""]:
    """Return the task's mean loss of one exit."""
    return step.task.supervised(said, step.targets).mean()
