"""What holds of every loss: its golden value, its gradient, its reductions, and `vmap`."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.func import grad, vmap

from fedkd import losses


def test_every_loss_of_the_package_has_a_case_here(cases: Mapping[str, Any]) -> None:
    functions = {name for name in losses.__all__ if name[0].islower()} - {"rrd_items", "cd_items", "gaussian"}
    assert functions == {name.split()[0].rstrip(",") for name in cases} - {"tckd", "nckd"}


def test_golden_values(case: Any) -> None:
    value = float(case.loss(case.student, case.teacher))
    assert math.isfinite(value)
    if case.golden is not None:
        assert value == pytest.approx(case.golden, abs=1e-8, rel=0)


def test_the_gradient_is_the_derivative_of_the_value(case: Any) -> None:
    student = case.student.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: case.loss(x, case.teacher), student)


def test_a_teacher_receives_no_gradient_and_a_student_does(case: Any) -> None:
    student, teacher = (x.clone().requires_grad_() for x in (case.student, case.teacher))
    case.loss(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    # The second argument of these is not what a frozen teacher says: an embedding that is learned, the student's own scores.
    learned_too = case.name in {"crd", "info_nce", "rrd"}
    assert (teacher.grad is not None) == learned_too


def test_a_student_that_is_the_teacher_costs_nothing(case: Any) -> None:
    assert abs(float(case.loss(case.teacher, case.teacher))) < 1e-12 or not case.same


def test_none_gives_the_values_whose_mean_and_sum_the_others_are(case: Any) -> None:
    each = case.loss(case.student, case.teacher, reduction="none")
    assert each.shape in {(4,), (3,)}
    assert torch.allclose(each.mean(), case.loss(case.student, case.teacher))
    assert torch.allclose(each.sum(), case.loss(case.student, case.teacher, reduction="sum"))


def test_vmap_over_clients_gives_what_a_loop_gives(case: Any) -> None:
    students = torch.stack([case.student * factor for factor in (1.0, -0.5, 2.0)])
    teachers = torch.stack([case.teacher * factor for factor in (1.0, 0.7, -1.0)])
    together = vmap(grad(case.loss))(students, teachers)
    for student, teacher, gradient in zip(students, teachers, together, strict=True):
        assert torch.allclose(grad(case.loss)(student, teacher), gradient, atol=1e-10)
