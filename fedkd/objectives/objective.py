"""An objective: any number of terms, each with its weight, added up.

>>> objective = Objective([KD(temperature=4.0), Hint(student_layer="body.2", teacher_layer="body.5", weight=0.5)])
>>> criterion = objective.begin(
...     student=layer_shapes(student, objective.student_layers, inputs),
...     teacher=layer_shapes(teacher, objective.teacher_layers, inputs),
...     outputs=10,
... )
>>> optimizer = torch.optim.SGD([*student.parameters(), *criterion.parameters()], lr=0.1)
>>> with Taps(student, objective.student_layers) as mine, Taps(teacher, objective.teacher_layers) as theirs:
...     lesson = Lesson(student(x).logits, teacher(x).logits, student_layers=mine, teacher_layers=theirs)
>>> criterion(lesson).backward()
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.parts import Part, dump
from fedkd.objectives.terms import TERMS
from fedkd.objectives.terms.base import FUSED, Lesson, Shape, Shapes, Term

Spec = str | dict[str, Any]
"""A term as a recipe names it: its name, or a mapping with `name` and its options."""


class Objective:
    """Terms, and the layers that they listen to.

    Args:
        terms: what is added up.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = tuple(terms)

    @classmethod
    def named(cls, specs: Sequence[Spec], *, key: str) -> "Objective":
        """Return the objective of a recipe.

        Args:
            specs: its terms.
            key: dotted path under which they stand, for messages.

        Raises:
            InvalidOption: a term or an option that does not exist.
        """
        return cls([TERMS.create(spec, key=f"{key}.{place}") for place, spec in enumerate(specs)])

    @property
    def student_layers(self) -> tuple[str, ...]:
        """Layers of the student to tap."""
        return _distinct(name for term in self.terms for name in term.of_student)

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """Layers of the teacher to tap; what the teachers say together (`fused`) is none."""
        return _distinct(name for term in self.terms for name in term.of_teacher if name != FUSED)

    def begin(
        self,
        *,
        student: Mapping[str, Shape],
        teacher: Mapping[str, Shape],
        outputs: int,
        samples: int = 1,
    ) -> "Criterion":
        """Return the loss with all that its terms learn; weights are drawn from PyTorch's current generator.

        Args:
            student: shape of each tapped layer of the student, without the batch.
            teacher: the same of the teacher.
            outputs: how many numbers a network says about a sample.
            samples: size of the training set.

        Raises:
            IllegalCombination: a term listens to a layer that is not given, or its layers do not fit.
        """
        for term in self.terms:
            if missing := [name for name in term.of_teacher if name not in {FUSED, *teacher}]:
                raise IllegalCombination(
                    f"{term.name()} learns from {', '.join(missing)} of the teachers' networks, and there are none here; take a method whose server "
                    f"has them (feddf), or a term that takes teacher_layer={FUSED}"
                )
        return Criterion(self.terms, Shapes(student, {**teacher, FUSED: (outputs,)}, samples))


class Criterion(nn.Module):
    """The loss of an objective, with the parameters that its terms learn.

    Args:
        terms: what is added up.
        shapes: of the layers that they listen to.
    """

    def __init__(self, terms: Sequence[Term], shapes: Shapes) -> None:
        super().__init__()
        self._terms = tuple(terms)
        made = {str(place): term.learned(shapes) for place, term in enumerate(terms)}
        self.learned = nn.ModuleDict({place: module for place, module in made.items() if module is not None})

    def forward(self, lesson: Lesson, progress: float = 0.0) -> Float[Tensor, ""]:
        """Return the weighted sum of the terms.

        Args:
            lesson: one batch.
            progress: the share of the training that is done, 0 to 1; schedules of weights go by it.
        """
        total: Tensor | None = None
        for place, term in enumerate(self._terms):
            weight = term.weight * term.schedule.factor(progress)
            if weight:
                value = weight * term.loss(lesson, self._of(place))
                total = value if total is None else total + value
        return (0.0 * lesson.student).sum() if total is None else total

    def shares(self) -> Mapping[str, float]:
        """Return how much each teacher counted on average so far, for the first term that weighs teachers itself; nothing, if none does."""
        said = (term.shares(self._of(place)) for place, term in enumerate(self._terms))
        return next((shares for shares in said if shares), {})

    def _of(self, place: int) -> nn.Module | None:
        return self.learned[str(place)] if str(place) in self.learned else None  # noqa: SIM401  (a ModuleDict has no get)


def spelled_out(specs: Sequence[Spec], *, key: str) -> tuple[Spec, ...]:
    """Return the terms of a recipe with every option, refusing what does not exist."""
    terms = Objective.named(specs, key=key).terms
    names = [spec if isinstance(spec, str) else spec["name"] for spec in specs]
    return tuple({"name": name, **dump(term)} for name, term in zip(names, terms, strict=True))


def refuse_idle(part: Part, options: Iterable[str], *, key: str, beside: str = "terms") -> None:
    """Refuse options of a part that have no effect beside its terms, or beside something else.

    Args:
        part: a part that has terms.
        options: names of options whose place the terms take.
        beside: what takes their place, for people.
        key: of the part, for people.

    Raises:
        IllegalCombination: one of them is not at its default.
    """
    for option in options:
        if getattr(part, option) != type(part).__dataclass_fields__[option].default:
            own = ", and set the term's own (`fedkd list terms`)" if beside == "terms" else ""
            raise IllegalCombination(
                f"{key}.{option} has no effect beside {beside}; leave it at its default{own}"
            )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
