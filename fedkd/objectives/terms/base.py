"""What a term of an objective must say: its loss on one batch, the layers that it listens to, what it learns itself."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import NonNegative
from fedkd.foundation.parts import Part
from fedkd.tasks import Classification, Task

FUSED = "fused"
"""Name of what the teachers say together, where a layer of a teacher is asked for: a sample's log-probabilities, or numbers, as one vector."""

Shape = tuple[int, ...]

Labels = Literal["teacher", "proxy"]
"""Whose labels: those that the teachers name, or the true ones of a labelled proxy set."""


class Shapes(NamedTuple):
    """Shapes of layers without the batch, by name; how many samples there are."""

    student: Mapping[str, Shape]
    teacher: Mapping[str, Shape]
    samples: int


@dataclass(frozen=True)
class Lesson:
    """All that a term may look at: one batch.

    Attributes:
        student: what the student says; the gradient flows from here and from its layers.
        teacher: what the teachers say together, in log space (numbers in a regression).
        task: says what outputs mean.
        targets: true targets, where they are known.
        rows: positions of the samples among all samples.
        student_layers: tapped layers of the student by name.
        teacher_layers: tapped layers of the teacher by name.
        generator: draws what a term samples.
        inputs: views of the samples, for terms that look at them (`Term.of_inputs`).
    """

    student: Float[Tensor, "batch ... outputs"]
    teacher: Float[Tensor, "batch ... outputs"]
    task: Task = field(default_factory=Classification)
    targets: Shaped[Tensor, "batch ..."] | None = None
    rows: Int[Tensor, " batch"] | None = None
    student_layers: Mapping[str, Tensor] = field(default_factory=dict)
    teacher_layers: Mapping[str, Tensor] = field(default_factory=dict)
    generator: torch.Generator | None = None
    inputs: Mapping[str, Shaped[Tensor, "batch ..."]] = field(default_factory=dict)

    def of_teacher(self, name: str) -> Float[Tensor, "batch ..."]:
        """Return a layer of the teacher, or what the teachers say together."""
        if name != FUSED:
            return self.teacher_layers[name]
        said = F.log_softmax(self.teacher, dim=-1) if self.task.probabilistic else self.teacher
        return said.flatten(1)

    @property
    def responses(self) -> tuple[Float[Tensor, "rows outputs"], Float[Tensor, "rows outputs"]]:
        """What student and teachers say, one answer below the other: a sample may have several."""
        return self.task.rows(self.student), self.task.rows(self.teacher)

    def numbers(self) -> tuple[Float[Tensor, "batch numbers"], Float[Tensor, "batch numbers"]]:
        """Return the numbers that the student and the teachers name; of normal distributions the means."""
        return self.task.harden(self.student), self.task.harden(self.teacher)

    def drawing(self) -> torch.Generator:
        """Return the generator.

        Raises:
            IllegalCombination: there is none.
        """
        if self.generator is None:
            raise IllegalCombination("this term draws at random: give the lesson a generator")
        return self.generator

    def labels(self, whose: Labels = "teacher") -> Shaped[Tensor, "batch ..."]:
        """Return the true targets, or those that the teachers name.

        Raises:
            IllegalCombination: true targets are asked for and are not known.
        """
        if whose == "teacher":
            return self.task.harden(self.teacher)
        if self.targets is None:
            raise IllegalCombination("this term learns from true targets, and these samples have none")
        return self.targets


@dataclass(frozen=True, kw_only=True)
class Schedule(Part):
    """How the weight of a term changes over the training: a factor that goes from one number to another."""

    shape: Literal["constant", "linear", "cosine", "step"] = "constant"
    """The way from `begin` to `end`: none (always `end`), a line, half a cosine, or all at once."""

    begin: NonNegative = 0.0
    """Factor at the beginning."""

    end: NonNegative = 1.0
    """Factor once it is over."""

    over: NonNegative = 0.1
    """Share of the training after which it is over."""

    def factor(self, progress: float) -> float:
        """Return the factor after a share of the training."""
        if self.shape == "constant" or progress >= self.over:
            return self.end
        way = progress / self.over
        match self.shape:
            case "linear":
                share = way
            case "cosine":
                share = (1 - math.cos(math.pi * way)) / 2
            case "step":
                share = 0.0
        return self.begin + share * (self.end - self.begin)


@dataclass(frozen=True, kw_only=True)
class Term(Part, ABC):
    """A loss with a weight."""

    weight: NonNegative = 1.0
    """What the loss is multiplied by; weights that suit one data set do not suit another."""

    schedule: Schedule = field(default_factory=Schedule)
    """How the weight changes over the training; the same all the time, if not said."""

    plain: ClassVar[bool] = True
    """Whether it is a function of the batch alone, which learns and draws nothing: such terms work inside of clients too."""

    together: ClassVar[bool] = False
    """Whether it looks at the layers of all teachers' networks at once, by their full names `<teacher>/<layer>`."""

    needs_classes: ClassVar[bool] = False
    """Whether it makes sense only for outputs that are distributions: over classes, symbols or items."""

    by_class: ClassVar[bool] = False
    """Whether it makes sense only where a sample is of one class."""

    needs_numbers: ClassVar[bool] = False
    """Whether it makes sense for numbers only."""

    @property
    def needs_targets(self) -> bool:
        """Whether it learns from true targets."""
        return False

    @property
    def of_student(self) -> tuple[str, ...]:
        """Layers of the student that it listens to."""
        return ()

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """Layers of the teacher that it listens to."""
        return ()

    @property
    def of_inputs(self) -> tuple[str, ...]:
        """Views of the samples that it looks at."""
        return ()

    def learned(self, shapes: Shapes) -> nn.Module | None:
        """Return what is learned beside the student, fresh; nothing for most terms."""
        del shapes
        return None

    @abstractmethod
    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean loss of a batch.

        Args:
            lesson: the batch.
            learned: what `learned` returned, trained along.
        """

    def shares(self, learned: nn.Module | None) -> Mapping[str, float]:
        """Return how much each teacher counted on average so far, by its name, for terms that weigh teachers themselves; by default nothing."""
        del learned
        return {}

    @classmethod
    def name(cls) -> str:
        """Return the name under which a recipe finds it."""
        return cls.__module__.rsplit(".", maxsplit=1)[-1]


@dataclass(frozen=True, kw_only=True)
class TrueNumberTerm(Term, ABC):
    """A loss on numbers that looks at the true ones, too."""

    needs_numbers: ClassVar[bool] = True

    @property
    def needs_targets(self) -> bool:
        """True numbers are learned."""
        return True


@dataclass(frozen=True, kw_only=True)
class FeatureTerm(Term, ABC):
    """A loss between a layer of the student and one of the teachers' networks."""

    student_layer: str = "features"
    """Layer of the student: the name of a submodule (`body.3`), `features` or `logits`."""

    teacher_layer: str = "features"
    """Layer of the teachers: the same kind of name, or `fused`: what they say together about a sample."""

    @property
    def of_student(self) -> tuple[str, ...]:
        """The layer of the student."""
        return (self.student_layer,)

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """The layer of the teacher."""
        return (self.teacher_layer,)

    def layers(
        self, lesson: Lesson, regressor: nn.Module | None = None
    ) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."]]:
        """Return the student's layer, behind a regressor if there is one, and the teacher's."""
        mine = lesson.student_layers[self.student_layer]
        return mine if regressor is None else regressor(mine), lesson.of_teacher(self.teacher_layer)

    def shapes(self, shapes: Shapes) -> tuple[Shape, Shape]:
        """Return the shapes of both layers."""
        return shapes.student[self.student_layer], shapes.teacher[self.teacher_layer]


@dataclass(frozen=True, kw_only=True)
class RelationTerm(FeatureTerm, ABC):
    """A loss between the relations of samples: any two layers can be compared, so that what all teachers say serves as well."""

    teacher_layer: str = FUSED
    """Layer of the teachers: `fused`, what they say together about a sample, or a layer of their networks."""
