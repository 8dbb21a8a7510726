"""What must hold of every term of an objective, between two small convolutional networks on a handful of samples."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from fedkd.foundation.seeding import Streams
from fedkd.models.base import run_network
from fedkd.objectives import (
    TERMS,
    Criterion,
    Lesson,
    Objective,
    Taps,
    Term,
    layer_shapes,
    over,
    predict_with_layers,
)
from fedkd.tasks import Classification, Regression, Task
from fedkd.testing.contract import Contract, generators_left_alone, require

SAMPLES, OUTPUTS = 6, 9
TEACHERS = ("0", "1")
"""Names of teachers, for terms that look at several; they are one and the same network."""

Layer = TypeVar("Layer")


def its_loss_is_one_finite_number(term: Term) -> None:
    """The loss of a batch, also of a batch of one, is a single finite number."""
    for size in (SAMPLES, 1):
        loss = _loss(term, _Pair(term), size)
        require(
            loss.dim() == 0, f"a batch of {size} gives a loss of shape {list(loss.shape)}, not one number"
        )
        require(loss.isfinite(), f"a batch of {size} gives a loss that is not finite")


def the_student_receives_a_gradient(term: Term) -> None:
    """Some weight of the student receives a gradient, and all that are received are finite."""
    pair = _Pair(term)
    _loss(term, pair).backward()  # type: ignore[no-untyped-call]
    received = [weight.grad for weight in pair.student.parameters() if weight.grad is not None]
    require(
        any(gradient.abs().sum() > 0 for gradient in received), "no weight of the student receives a gradient"
    )
    require(all(gradient.isfinite().all() for gradient in received), "a gradient is not finite")


def all_that_it_learns_receives_a_gradient(term: Term) -> None:
    """Every parameter of what is learned beside the student receives a gradient."""
    pair = _Pair(term)
    _loss(term, pair).backward()  # type: ignore[no-untyped-call]
    silent = [name for name, weight in pair.criterion.named_parameters() if weight.grad is None]
    require(not silent, f"no gradient reaches {', '.join(silent)}")


def it_draws_from_the_generator_alone(term: Term) -> None:
    """Two equal lessons give the same loss, and no global generator is drawn from."""
    values = []
    for _ in range(2):
        pair = _Pair(term)
        with generators_left_alone():
            values.append(_loss(term, pair).detach())
    require(torch.equal(*values), "two equal lessons give two losses")


def extreme_answers_stay_finite(term: Term) -> None:
    """Answers of size 10,000 on both sides give a finite loss."""
    loss = _loss(term, _Pair(term), scale=1e4)
    require(loss.isfinite(), "answers of size 10,000 give a loss that is not finite")


CONTRACT = Contract(
    TERMS,
    Term,
    (
        its_loss_is_one_finite_number,
        the_student_receives_a_gradient,
        all_that_it_learns_receives_a_gradient,
        it_draws_from_the_generator_alone,
        extreme_answers_stay_finite,
    ),
)


class _Small(nn.Module):
    """A network with a layer that is called `features` and gives maps, so that terms find one without options."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 3, stride=stride, padding=1), nn.ReLU())
        self.head = nn.Linear(6, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x).mean(dim=(2, 3)))
        return logits


class _Pair:
    """A student, a teacher with smaller maps, and the criterion between them."""

    def __init__(self, term: Term) -> None:
        streams = Streams(0)
        plain = Objective([term])
        self.objective = over(plain, dict.fromkeys(TEACHERS, 0.5)) if term.together else plain
        self.tapped = plain.teacher_layers
        self.inputs = {"image": torch.rand(SAMPLES, 1, 8, 8, generator=streams.torch("images"))}
        with streams.initialising("networks"):
            self.student, self.teacher = _Small(stride=1), _Small(stride=2)
            self.criterion: Criterion = self.objective.begin(
                student=layer_shapes(self.student, self.objective.student_layers, self.inputs),
                teacher=self.called(layer_shapes(self.teacher, self.tapped, self.inputs)),
                outputs=OUTPUTS,
                samples=SAMPLES,
            )

    def called(self, layers: Mapping[str, Layer]) -> Mapping[str, Layer]:
        """Return the teacher's layers under the names by which the term asks for them."""
        if self.objective.teacher_layers == self.tapped:
            return layers
        return {f"{name}/{layer}": said for name in TEACHERS for layer, said in layers.items()}


def _loss(term: Term, pair: _Pair, size: int = SAMPLES, *, scale: float = 1.0) -> Tensor:
    batch = {view: x[:size] for view, x in pair.inputs.items()}
    said, theirs = predict_with_layers(pair.teacher, pair.tapped, batch)
    task: Task = Regression() if term.needs_numbers else Classification()
    with Taps(pair.student, pair.objective.student_layers) as mine:
        outputs = run_network(pair.student, batch).logits
    lesson = Lesson(
        scale * outputs,
        -scale * said,
        task,
        targets=said.flip(1) if term.needs_numbers else torch.arange(size),
        rows=torch.arange(size),
        student_layers=mine,
        teacher_layers=pair.called(theirs),
        generator=Streams(0).torch("lesson"),
    )
    loss: Tensor = pair.criterion(lesson)
    return loss
