"""What a client strategy must say: the stages of a round, each a loss for one batch. The engine owns everything else.

>>> @dataclass(frozen=True, kw_only=True)
... class Gentle(ClientStrategy):
...     def train_loss(self, step: Step) -> Tensor:
...         return step.task.supervised(step.outputs.logits, step.targets).mean()
"""

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from fedkd.foundation.parts import Part
from fedkd.knowledge import Package
from fedkd.models._judged import Discriminator
from fedkd.models.base import Outputs
from fedkd.objectives import Objective
from fedkd.tasks import Task
from fedkd.training import Fit


@dataclass(frozen=True)
class Step:
    """All that a loss may look at: one batch of one client.

    Attributes:
        outputs: what the client's network says about the batch; the gradient flows from here.
        targets: true targets of the batch.
        teacher: scores in log space about these samples: on the proxy set what was received, on the client's own samples what
            the network says that `ClientStrategy.teacher` names, or what was received about them (`told_of_own`); else none.
        parameters: the network's weights by name, for losses on weights.
        memory: what the strategy wanted to remember of what it received, by names of its own; never trained.
        task: says how outputs, targets and teachers are compared.
        layers: what the layers say that the stage taps, by name.
        public: what the network says about as many public samples, in a stage that is `paired`; the gradient flows from here too.
    """

    outputs: Outputs
    targets: Shaped[Tensor, "batch ..."]
    teacher: Float[Tensor, "batch ... outputs"] | None
    parameters: Mapping[str, Tensor]
    memory: Mapping[str, Tensor]
    task: Task
    layers: Mapping[str, Tensor] = field(default_factory=dict)
    public: Outputs | None = None


def nothing_held_out() -> None:
    """Say that a client has no held-out samples."""


@dataclass(frozen=True)
class Situation:
    """What a client knows when a round begins.

    Attributes:
        first: whether this client has not trained before.
        received: knowledge that came with the round, if any.
        start: the weights that training starts from.
        draw: draws what a strategy wants to remember at random; a stream of this client and round.
        round: number of the round, from 1.
        held_out: says what the network that training starts from says of the client's own held-out samples, and their targets; none for a
            client without such samples.
    """

    first: bool
    received: Package | None
    start: Mapping[str, Tensor]
    draw: torch.Generator = field(default_factory=torch.Generator)
    round: int = 1
    held_out: Callable[[], tuple[Outputs, Shaped[Tensor, "n ..."]] | None] = nothing_held_out


Loss = TypeVar("Loss", bound=Callable[..., Float[Tensor, ""]])


def samplewise(loss: Loss) -> Loss:
    """Mark a loss whose value on a batch is the mean of its values on the single samples of the batch.

    Such a loss lets the vectorised engine fill up the short batches of some clients to the length of the others'. It is a
    matter of speed alone: an unmarked loss, and one that compares the samples of a batch, sees batches as they are.
    """
    loss.samplewise = True  # type: ignore[attr-defined]
    return loss


def stand_still(parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Leave all parameters that do not learn as they are."""
    del parameters
    return {}


@dataclass(frozen=True)
class Stage:
    """One part of a client's round.

    Attributes:
        name: names the random stream of its batches.
        source: `private` are the client's own samples; `proxy` the proxy samples that were received with a teacher's
            word; `public` the whole proxy set with its labels.
        loss: mean loss of one batch; it may look at nothing but the step and its strategy's options, since an engine may run it once and
            play what it did from then on.
        plan: how long and with what.
        taps: layers of the network that the loss looks at: names of submodules.
        paired: whether each private sample comes with a proxy sample, drawn anew each round and without its target (`Step.public`).
        after_step: given the network's parameters after a step of the optimiser, names the new values of some that do not learn,
            such as running means of others.
    """

    name: str
    source: Literal["private", "proxy", "public"]
    loss: Callable[[Step], Float[Tensor, ""]]
    plan: Fit
    taps: tuple[str, ...] = ()
    paired: bool = False
    after_step: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = stand_still

    @property
    def samplewise(self) -> bool:
        """Whether the loss of a batch is the mean of the losses of its samples, as far as its outputs tell."""
        return not self.taps and getattr(self.loss, "samplewise", False)


@dataclass(frozen=True, kw_only=True)
class ClientStrategy(Part, ABC):
    """What one client does in a round; the default trains on the client's own data with the task's loss."""

    fit: Fit = field(default_factory=Fit)
    """Training on the client's own data."""

    persistent: ClassVar[bool] = False
    """Whether a client keeps its network from round to round; else it starts from the weights that it receives."""

    own_initialisation: ClassVar[bool] = False
    """Whether each client's network starts from weights of its own; else all of one architecture start alike."""

    carries_student: ClassVar[bool] = False
    """Whether a client carries a copy of the server's network beside its own, which crosses in its place (`Outputs.carried`)."""

    needs_proxy: ClassVar[bool] = False
    """Whether it looks at proxy samples, whatever the server does with them."""

    aligns_features: ClassVar[bool] = False
    """Whether a linear map from the carried network's features to the client's own is trained beside them (`Outputs.carried_features`)."""

    needs_exits: ClassVar[bool] = False
    """Whether it works on what several exits of a network say (`Outputs.exits`)."""

    needs_exit_features: ClassVar[bool] = False
    """Whether it also works on what each exit sees (`Outputs.exit_features`)."""

    needs_means: ClassVar[bool] = False
    """Whether it works on what running means of a network's weights say (`Outputs.mean_exits`)."""

    needs_classes: ClassVar[bool] = False
    """Whether it makes sense only for outputs that are distributions: over classes, symbols or items."""

    by_class: ClassVar[bool] = False
    """Whether it makes sense only where a sample is of one class."""

    receives: ClassVar[tuple[str, ...]] = ("logits", "probabilities", "class_means")
    """Kinds of knowledge that may come down to it; what it cannot use among them does no harm."""

    told_of_own: ClassVar[bool] = False
    """Whether what comes down is about the client's own samples, by their ids, in place of proxy samples: `Step.teacher` of the losses on them."""

    @property
    def discriminator(self) -> Discriminator | None:
        """A discriminator that a client trains beside its network and keeps to itself; none without one."""
        return None

    @property
    def learns_proxy_labels(self) -> bool:
        """Whether true labels of the proxy set are learned from."""
        return False

    vectorises: ClassVar[bool] = True
    """Whether many clients may be trained at once; no for a loss that decides by values (`if loss > 1`)."""

    def objective(self) -> Objective:
        """Return the terms that it learns by; by default there are none, and its losses are its own."""
        return Objective(())

    @samplewise
    def train_loss(self, step: Step) -> Float[Tensor, ""]:
        """Return the mean loss of a batch of the client's own samples."""
        return step.task.supervised(step.outputs.logits, step.targets).mean()

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the tensors that the losses of this round will look at."""
        del situation
        return {}

    def teacher(self, situation: Situation) -> Mapping[str, Tensor] | None:
        """Return the weights of a network whose word on the client's own samples the losses see as `step.teacher`; none without one.

        It is a network of the client's architecture, in evaluation mode. It is asked about each sample once a round.
        """
        del situation
        return None

    def stages(self, situation: Situation) -> tuple[Stage, ...]:
        """Return the stages of this round, in order."""
        del situation
        return (Stage("train", "private", self.train_loss, self.fit),)
