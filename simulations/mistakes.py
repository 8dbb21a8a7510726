"""Mistakes that widely copied implementations make, each as a part that a recipe names in the place of the right one.

Losses go where a method learns from teachers: `method.distiller.terms=[simulations.mistakes:RawLogits]`, and the same for
`method.client.terms`. FD's client has its loss inside, so it is `method.client.name=simulations.mistakes:WrongFD`; FD's server that
counts absent labels as zeros is `method.strategy=simulations.mistakes:ZerosForAbsent`. None of this belongs into a package.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.clients import fd
from fedkd.clients.base import ClientStrategy, Step, samplewise
from fedkd.foundation.options import Positive
from fedkd.knowledge import Package
from fedkd.losses import kd
from fedkd.objectives.terms.base import Lesson, Term
from fedkd.strategies import class_means
from fedkd.strategies.base import ServerSide


def raw_logits(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the cross-entropy with the teacher's raw logits in the place of probabilities: it has no lower bound."""
    return -(teacher * F.log_softmax(student, dim=-1)).sum(dim=-1)


def element_mean(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return KL divided by the number of classes as well, as PyTorch's `KLDivLoss()` does if nothing is said."""
    return kd(student, teacher, temperature=temperature, reduction="none") / student.shape[-1]


def reversed_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return `T^2 KL(student || teacher)`."""
    ours, theirs = (F.log_softmax(scores / temperature, dim=-1) for scores in (student, teacher))
    return temperature**2 * (ours.exp() * (ours - theirs)).sum(dim=-1)


def one_sided(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return `T^2 KL(teacher || student_T)`: the teacher is not softened."""
    return temperature**2 * kd(student / temperature, teacher, temperature=1.0, reduction="none")


@dataclass(frozen=True, kw_only=True)
class Mistake(Term, ABC):
    """A loss between student and teachers that is wrong."""

    needs_classes: ClassVar[bool] = True

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Tensor:
        """Return the mean over the batch."""
        del learned
        return self.apart(lesson.student, lesson.teacher).mean()

    @abstractmethod
    def apart(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of each sample."""


@dataclass(frozen=True, kw_only=True)
class RawLogits(Mistake):
    """The cross-entropy with raw logits as targets."""

    def apart(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of each sample."""
        return raw_logits(student, teacher)


@dataclass(frozen=True, kw_only=True)
class ElementMean(Mistake):
    """KL averaged over samples and classes."""

    temperature: Positive = 1.0
    """Softens both sides."""

    def apart(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of each sample."""
        return element_mean(student, teacher, self.temperature)


@dataclass(frozen=True, kw_only=True)
class ReversedKL(Mistake):
    """KL from the student to the teachers, not from the teachers to the student."""

    temperature: Positive = 1.0
    """Softens both sides."""

    def apart(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of each sample."""
        return reversed_kl(student, teacher, self.temperature)


@dataclass(frozen=True, kw_only=True)
class OneSided(Mistake):
    """A temperature on the student only."""

    temperature: Positive = 3.0
    """Softens the student."""

    def apart(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss of each sample."""
        return one_sided(student, teacher, self.temperature)


@dataclass(frozen=True, kw_only=True)
class WrongFD(fd.FD):
    """FD's client with a wrong loss between its answers and the mean logits of the label."""

    mistake: Literal["raw_logits", "element_mean", "reversed", "one_sided"] = "raw_logits"
    """Which one."""

    @samplewise
    def train_loss(self, step: Step) -> Tensor:
        """Return `CE + gamma` times the wrong loss, for labels about which anybody spoke."""
        loss = ClientStrategy.train_loss(self, step)
        if not step.memory:
            return loss
        student, teacher = step.outputs.logits, step.memory["means"][step.targets]
        match self.mistake:
            case "raw_logits":
                apart = raw_logits(student, teacher)
            case "element_mean":
                apart = element_mean(student, teacher, self.temperature)
            case "reversed":
                apart = reversed_kl(student, teacher, self.temperature)
            case "one_sided":
                apart = one_sided(student, teacher, self.temperature)
        return loss + self.gamma * (apart * step.memory["known"][step.targets]).mean()


class _ZerosForAbsent(class_means.FD):
    def _for(self, client: int, values: Tensor, counts: Tensor) -> Package:
        said = torch.where(counts[..., None] > 0, values, torch.zeros((), dtype=values.dtype))
        others = [row for row, other in enumerate(self._said) if other != client]
        labels = torch.ones(self.num_classes, dtype=torch.long)
        return Package("class_means", {"values": said[others].mean(dim=0)}, counts=labels)


@dataclass(frozen=True, kw_only=True)
class ZerosForAbsent(class_means.ClassMeans):
    """FD's server, for which a client that never saw a label sent zeros about it."""

    def create(self, side: ServerSide) -> class_means.FD:
        """Return the Flower strategy."""
        return _ZerosForAbsent(
            num_classes=side.num_outputs, codec=side.codec_down or side.codec, sampling=side.sampling
        )
