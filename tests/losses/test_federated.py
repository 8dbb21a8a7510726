"""Not-true distillation: values worked out by hand, and what the paper says of its gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.losses import kd, not_true_kd

STUDENT = 3 * torch.sin(1.3 * torch.arange(20, dtype=torch.float64) + 0.1).reshape(4, 5)
TEACHER = 3 * torch.sin(1.7 * torch.arange(20, dtype=torch.float64) + 0.9).reshape(4, 5)
TARGETS = torch.tensor([0, 1, 2, 3])


def without(logits: Tensor, targets: Tensor) -> Tensor:
    """Leave the column of the true class out of each row."""
    rows = [torch.cat([row[:target], row[target + 1 :]]) for row, target in zip(logits, targets, strict=True)]
    return torch.stack(rows)


def test_a_case_of_three_classes_worked_out_by_hand() -> None:
    # True class 0; of the other two the teacher says 3/4 and 1/4, the student 1/2 and 1/2.
    student = torch.tensor([[5.0, 2.0, 2.0]])
    teacher = torch.tensor([[-7.0, math.log(3.0), 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(not_true_kd(student, teacher, torch.tensor([0]))) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_it_is_distillation_between_networks_that_never_heard_of_the_true_class(temperature: float) -> None:
    said = not_true_kd(STUDENT, TEACHER, TARGETS, temperature=temperature, reduction="none")
    expected = kd(
        without(STUDENT, TARGETS), without(TEACHER, TARGETS), temperature=temperature, reduction="none"
    )
    torch.testing.assert_close(said, expected, rtol=0, atol=1e-12)
    mean = not_true_kd(STUDENT, TEACHER, TARGETS, temperature=temperature)
    torch.testing.assert_close(mean, expected.mean(), rtol=0, atol=1e-12)


def test_the_true_logit_gets_a_gradient_of_exactly_zero_and_the_teacher_none() -> None:
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    not_true_kd(student, teacher, TARGETS).backward()
    assert student.grad is not None
    assert teacher.grad is None
    on_true = student.grad[torch.arange(4), TARGETS]
    assert torch.equal(on_true, torch.zeros(4, dtype=torch.float64))
    assert bool((student.grad != 0).sum() == 16)
    assert torch.autograd.gradcheck(lambda x: not_true_kd(x, TEACHER, TARGETS, temperature=2.0), student)


def test_the_whole_divergence_is_the_true_classs_part_and_the_share_of_the_not_true_one() -> None:
    p, q = F.softmax(TEACHER, dim=-1), F.softmax(STUDENT, dim=-1)
    rows = torch.arange(4)
    own, other = p[rows, TARGETS], q[rows, TARGETS]
    binary = own * (own / other).log() + (1 - own) * ((1 - own) / (1 - other)).log()
    rest = (1 - own) * not_true_kd(STUDENT, TEACHER, TARGETS, reduction="none")
    whole = kd(STUDENT, TEACHER, temperature=1.0, reduction="none")
    torch.testing.assert_close(binary + rest, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("classes", [2, 3])
def test_extreme_logits_and_two_classes_give_finite_values_and_gradients(scale: float, classes: int) -> None:
    student = (scale * torch.tensor([[1.0, -1.0, 0.5]])[:, :classes]).requires_grad_()
    teacher = scale * torch.tensor([[-1.0, 1.0, -0.5]])[:, :classes]
    loss = not_true_kd(student, teacher, torch.tensor([1]))
    loss.backward()
    assert bool(loss.isfinite())
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())
    if classes == 2:
        assert float(loss.detach()) == 0.0


def test_many_clients_are_computed_at_once() -> None:
    students, teachers = torch.stack([STUDENT, TEACHER]), torch.stack([TEACHER, STUDENT])
    targets = torch.stack([TARGETS, TARGETS.flip(0)])
    together = torch.func.vmap(not_true_kd)(students, teachers, targets)
    alone = [
        not_true_kd(student, teacher, own)
        for student, teacher, own in zip(students, teachers, targets, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(alone))
