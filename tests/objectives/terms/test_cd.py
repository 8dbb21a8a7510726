"""Collaborative distillation as a term: who guides the draw, and that chances are log-probabilities over all items."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fedkd import losses
from fedkd.objectives import Lesson, Objective
from fedkd.objectives.terms.cd import CD


def drawn(seed: int, users: int = 6, items: int = 30) -> Tensor:
    return torch.randn(users, items, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss_of(student: Tensor, teacher: Tensor, **options: Any) -> Tensor:
    criterion = Objective([CD(**options)]).begin(student={}, teacher={}, outputs=student.shape[1])
    return criterion(Lesson(student, teacher, generator=torch.Generator().manual_seed(7)))


@pytest.mark.parametrize("guide", ["student", "teacher"])
def test_items_that_the_guide_ranks_high_receive_a_gradient(guide: str) -> None:
    student, teacher = drawn(0).requires_grad_(), drawn(1)
    [gradient] = torch.autograd.grad(loss_of(student, teacher, items=4, guide=guide, decay=1e-3), student)
    ranking = student.detach() if guide == "student" else teacher
    top = ranking.topk(4, dim=1).indices
    assert (gradient != 0).sum() == 6 * 4
    assert (gradient.gather(1, top) != 0).all()


def test_all_items_at_once_are_the_binary_cross_entropy_against_softened_log_probabilities() -> None:
    student, teacher = drawn(0), drawn(1)
    loss = loss_of(student, teacher, items=30, temperature=2.0, bias=3.0)
    expected = losses.cd(student, teacher.log_softmax(dim=1), temperature=2.0, bias=3.0)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(loss_of(student, teacher + 5.0, items=30, temperature=2.0, bias=3.0), expected)
