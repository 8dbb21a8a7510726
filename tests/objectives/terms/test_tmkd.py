"""TMKD: a head for each teacher, on all samples or on the labelled ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd import losses
from fedkd.objectives import Criterion, Lesson, Objective, over
from fedkd.objectives.terms.tmkd import TMKD

CLASSES, SAMPLES = 3, 6
DRAW = torch.Generator().manual_seed(0)
TEACHERS, HEADS = (
    [torch.randn(SAMPLES, CLASSES, generator=DRAW, dtype=torch.float64) for _ in range(2)] for _ in range(2)
)
TARGETS = torch.arange(SAMPLES) % CLASSES


def taught(
    heads: list[Tensor], teachers: list[Tensor], rows: Tensor | None = None, **options: object
) -> Tensor:
    names = [str(place) for place in range(len(teachers))]
    mine = {f"heads.{place}": said for place, said in enumerate(heads)}
    term = TMKD(heads=tuple(mine), **options)  # type: ignore[arg-type]
    objective = over(Objective([term]), dict.fromkeys(names, 1 / len(names)))
    criterion: Criterion = objective.begin(
        student=dict.fromkeys(mine, (CLASSES,)),
        teacher=dict.fromkeys(objective.teacher_layers, (CLASSES,)),
        outputs=CLASSES,
        samples=SAMPLES,
    )
    theirs = {f"{name}/logits": said for name, said in zip(names, teachers, strict=True)}
    seen = torch.arange(SAMPLES) if rows is None else rows
    lesson = Lesson(
        torch.stack(heads).mean(dim=0)[seen],
        torch.stack(teachers).mean(dim=0)[seen],
        targets=TARGETS[seen],
        rows=rows,
        student_layers={name: said[seen] for name, said in mine.items()},
        teacher_layers={name: said[seen] for name, said in theirs.items()},
    )
    value: Tensor = criterion(lesson)
    return value


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_each_head_learns_from_its_own_teacher_and_from_labels(share: float) -> None:
    expected = [
        (1 - share) * losses.kd(head, teacher, temperature=2.0) + share * F.cross_entropy(head, TARGETS)
        for head, teacher in zip(HEADS, TEACHERS, strict=True)
    ]
    loss = taught(HEADS, TEACHERS, temperature=2.0, label_weight=share)
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_no_head_hears_of_another_ones_teacher() -> None:
    gradients = []
    for second in (TEACHERS[1], -TEACHERS[1]):
        heads = [head.clone().requires_grad_() for head in HEADS]
        taught(heads, [TEACHERS[0], second]).backward()
        gradients.append([head.grad for head in heads])
    (first, own), (same, other) = gradients
    assert torch.equal(first, same)  # type: ignore[arg-type]
    assert not torch.equal(own, other)  # type: ignore[arg-type]


def test_one_head_learns_from_all_teachers_and_one_teacher_teaches_all_heads() -> None:
    to_one = [losses.kd(HEADS[0], teacher, temperature=4.0) for teacher in TEACHERS]
    torch.testing.assert_close(taught(HEADS[:1], TEACHERS), torch.stack(to_one).mean())
    of_one = [losses.kd(head, TEACHERS[0], temperature=4.0) for head in HEADS]
    torch.testing.assert_close(taught(HEADS, TEACHERS[:1]), torch.stack(of_one).mean())


def test_samples_beyond_the_labelled_ones_do_not_count() -> None:
    half = {"label_weight": 0.5, "labelled": 0.5}
    first = taught(HEADS, TEACHERS, torch.tensor([0, 1, 2]), **half)
    torch.testing.assert_close(taught(HEADS, TEACHERS, torch.tensor([4, 0, 3, 2, 5, 1]), **half), first)
    heads = [head.clone().requires_grad_() for head in HEADS]
    nothing = taught(heads, TEACHERS, torch.tensor([3, 4, 5]), **half)
    nothing.backward()
    assert nothing.item() == 0.0
    assert not any(head.grad.any() for head in heads)  # type: ignore[union-attr]
