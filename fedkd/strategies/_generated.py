"""Games of a generator and a student: samples are made of noise and classes, and both learn from what teachers say about them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.foundation.options import Count
from fedkd.foundation.parts import Part
from fedkd.models._generator import SampleGenerator, Values
from fedkd.models.base import run_network
from fedkd.strategies.base import ServerSide
from fedkd.training import Optimizer, follow


@dataclass(frozen=True, kw_only=True)
class Rhythm(Part):
    """The generator, and how it and the student take their steps."""

    noise: Count = 100
    """Numbers of noise that a sample is made of."""

    hidden: Count = 256
    """Hidden units of the generator."""

    values: Values = "unit"
    """What inputs are made of: numbers from 0 to 1 (images), or of mean 0 and variance 1 over a batch (tables; the authors' code)."""

    batches: Count = 10
    """Batches of noise and labels in a round."""

    generator_steps: Count = 1
    """Steps of the generator on each batch."""

    student_steps: Count = 5
    """Steps of the student on each batch."""

    batch_size: Count = 64
    """Samples a step."""

    optimizer: Optimizer = field(default_factory=lambda: Optimizer(name="adam", lr=0.01))
    """The generator's optimiser, new in each round."""

    student: Optimizer = field(default_factory=lambda: Optimizer(lr=0.05))
    """The student's optimiser, new in each round."""

    def generator_for(self, side: ServerSide) -> SampleGenerator:
        """Return a generator of inputs of the reported student, with initial weights."""
        network = next(iter(side.students.values()))
        inputs = side.validation.inputs
        shape = inputs[getattr(network, "view", None) or next(iter(inputs))].shape[1:]
        with side.streams.initialising("generator"):
            return SampleGenerator(
                tuple(shape),
                classes=side.num_outputs,
                noise=self.noise,
                hidden=self.hidden,
                values=self.values,
            )


@dataclass(frozen=True)
class Batch:
    """Samples that were made, and what they were made of."""

    noise: Float[Tensor, "n noise"]
    labels: Int[Tensor, " n"]
    made: Float[Tensor, "n ..."]


class Game(ABC):
    """Generator and student, by turns: on each batch some steps of the one, then some of the other.

    Args:
        generator, student: both are trained in place.
        rhythm: how.
    """

    def __init__(self, generator: SampleGenerator, student: nn.Module, rhythm: Rhythm) -> None:
        self.generator, self.student, self.rhythm = generator, student, rhythm

    @abstractmethod
    def labels(self, size: int, draw: torch.Generator) -> Int[Tensor, " size"]:
        """Return the classes of a batch."""

    @abstractmethod
    def makers_loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Return what the generator minimises; the student is in evaluation mode."""

    @abstractmethod
    def answers(self, batch: Batch) -> Float[Tensor, "... n classes"]:
        """Return what the student learns about samples, without a gradient."""

    @abstractmethod
    def learners_loss(self, batch: Batch, answers: Float[Tensor, "... n classes"]) -> Float[Tensor, ""]:
        """Return what the student minimises."""

    def play(self, draw: torch.Generator) -> None:
        """Play all batches of a round."""
        rhythm = self.rhythm
        maker, learner = rhythm.optimizer.start(self.generator), rhythm.student.start(self.student)
        for _ in range(rhythm.batches):
            labels = self.labels(rhythm.batch_size, draw)
            noise = torch.randn(rhythm.batch_size, self.generator.noise, generator=draw)
            self.student.eval()
            for _ in range(rhythm.generator_steps):
                batch = Batch(noise, labels, self.generator(noise, labels))
                follow(maker, self.makers_loss(batch), rhythm.optimizer.clip_norm)
            with torch.no_grad():
                batch = Batch(noise, labels, self.generator(noise, labels))
                answers = self.answers(batch)
            self.student.train()
            for _ in range(rhythm.student_steps):
                loss = self.learners_loss(*self.lesson(batch, answers, draw))
                follow(learner, loss, rhythm.student.clip_norm)

    def lesson(
        self, batch: Batch, answers: Float[Tensor, "... n classes"], draw: torch.Generator
    ) -> tuple[Batch, Float[Tensor, "... n classes"]]:
        """Return the samples and answers of a step of the student: by default those that were made last."""
        del draw
        return batch, answers

    def said_by_student(self, made: Float[Tensor, "n ..."]) -> Float[Tensor, "n classes"]:
        """Return the student's logits about samples."""
        return run_network(self.student, views_of(self.student, made)).logits


def views_of(network: nn.Module, made: Tensor) -> Mapping[str, Tensor]:
    """Return samples under the name of the view that a network reads."""
    return {getattr(network, "view", None) or "sample": made}
