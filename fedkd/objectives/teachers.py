"""Terms on the layers of several teachers' networks: the mean of a term over the teachers, each with a regressor of its own.

Layers of networks that were trained apart have nothing in common, so that a mean of layers would say nothing.

>>> objective = over(Objective([Hint()]), {"0": 0.7, "4": 0.3})
>>> objective.terms  # one for each teacher, which sees the layers "0/features" and "4/features"
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd.objectives.objective import Objective
from fedkd.objectives.terms.base import FUSED, Lesson, Shapes, Term

Layer = TypeVar("Layer")


def over(objective: Objective, shares: Mapping[str, float]) -> Objective:
    """Return an objective whose terms on layers of networks are means over teachers.

    Args:
        objective: what is said of one teacher.
        shares: how much each teacher counts, by its name; its layer `body.3` is called `<name>/body.3`.
    """
    terms: list[Term] = []
    for term in objective.terms:
        if all(layer == FUSED for layer in term.of_teacher):
            terms.append(term)
        elif term.together:
            terms.append(_Of(weight=term.weight, schedule=term.schedule, term=term, teachers=tuple(shares)))
        else:
            terms += [
                _Of(weight=share * term.weight, schedule=term.schedule, term=term, teachers=(name,))
                for name, share in shares.items()
            ]
    return Objective(terms)


@dataclass(frozen=True, kw_only=True)
class _Of(Term):
    """A term that sees the layers of one teacher, or of several under their full names."""

    term: Term
    teachers: tuple[str, ...]

    @property
    def of_student(self) -> tuple[str, ...]:
        """The layers of the student."""
        return self.term.of_student

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """The layers of the teachers by their full names."""
        names = self.term.of_teacher
        return tuple(
            name if name == FUSED else f"{teacher}/{name}" for teacher in self.teachers for name in names
        )

    @property
    def of_inputs(self) -> tuple[str, ...]:
        """The views that the term looks at."""
        return self.term.of_inputs

    def learned(self, shapes: Shapes) -> nn.Module | None:
        """Return what the term learns of these teachers."""
        return self.term.learned(shapes._replace(teacher=self._own(shapes.teacher)))

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the term's loss against these teachers."""
        own = self._own(lesson.teacher_layers)
        return self.term.loss(replace(lesson, teacher_layers=own), learned)

    def shares(self, learned: nn.Module | None) -> Mapping[str, float]:
        """Return how much each of these teachers counted for the term."""
        return self.term.shares(learned)

    def _own(self, layers: Mapping[str, Layer]) -> dict[str, Layer]:
        own = {name: layer for name, layer in layers.items() if name == FUSED}
        for teacher in self.teachers:
            for name in self.term.of_teacher:
                if name != FUSED:
                    called = f"{teacher}/{name}"
                    own[called if self.term.together else name] = layers[called]
        return own
