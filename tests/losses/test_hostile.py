"""What every loss makes of hostile inputs."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F

HOSTILE = {
    "extreme": lambda student, teacher: (1e4 * student, -1e4 * teacher),
    "extreme and alike": lambda student, teacher: (1e4 * teacher + 0 * student, 1e4 * teacher),
    "all zero": lambda student, teacher: (0 * student, 0 * teacher),
    "a zero student": lambda student, teacher: (0 * student, teacher),
    "a zero teacher": lambda student, teacher: (student, 0 * teacher),
    "a batch of one": lambda student, teacher: (student[:1], teacher[:1]),
    "one sample many times": lambda student, teacher: (
        student[:1].expand_as(student),
        teacher[:1].expand_as(teacher),
    ),
    "tiny": lambda student, teacher: (1e-30 * student, teacher),
    "large": lambda student, teacher: (1e10 * student, -1e10 * teacher),
    "enormous": lambda student, teacher: (1e30 * student, -1e30 * teacher),
    "no sample": lambda student, teacher: (student[:0], teacher[:0]),
}
BEYOND_FLOAT32 = {
    "large": {"fsp"},
    "enormous": {
        "mse", "hint", "fsp", "activation_boundary", "cc", "irg", "vid", "mimkd", "de", "attentive_imitation", "outlier_rejection",
        "gaussian_nll", "gaussian_kl",
    },
}  # fmt: skip
"""Losses whose true value no float of 32 bits can hold: squares and higher powers of what they see."""


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hostile_inputs_give_finite_values_and_gradients(case: Any, kind: str, dtype: torch.dtype) -> None:
    student, teacher = HOSTILE[kind](case.student, case.teacher)
    student = student.to(dtype).clone().requires_grad_()
    value = case.loss(student, teacher.to(dtype))
    if dtype == torch.float32 and case.name in BEYOND_FLOAT32.get(kind, ()):
        assert not value.isfinite()
        return
    assert value.isfinite()
    (gradient,) = torch.autograd.grad(value, student, allow_unused=True, materialize_grads=True)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["kd", "dist", "jsd", "jsd at 0", "jsd at 1", "mae", "mse"])
def test_two_classes_are_enough(cases: Mapping[str, Any], name: str) -> None:
    loss, student, teacher, *_ = cases[name]
    student, teacher = student[:, :2].clone().requires_grad_(), teacher[:, :2]
    loss(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("sure_of", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "name", ["kd", "dkd", "tckd", "nckd", "dist", "jsd at 0", "jsd at 0.1", "jsd", "not_true_kd"]
)
def test_a_hard_teacher_gives_what_a_teacher_gives_that_is_nearly_as_hard(
    cases: Mapping[str, Any], name: str, dtype: torch.dtype, sure_of: int
) -> None:
    """It is certain of the true class, or of the one after it; all others have the log-probability -inf."""
    loss, student, *_ = cases[name]
    student = student.to(dtype).clone().requires_grad_()
    one_hot = torch.eye(5, dtype=dtype)[torch.arange(4) + sure_of]
    value = loss(student, one_hot.log())
    assert torch.allclose(value, loss(student, 1e4 * (one_hot - 1)))
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient.isfinite().all()
    if name == "kd":
        expected = F.kl_div((student / 4).log_softmax(dim=1), one_hot, reduction="batchmean")
        assert torch.allclose(value, 16 * expected)


NO_SCALE = (
    "at",
    "at in the paper",
    "factor_transfer",
    "factor_transfer in the paper",
    "sp",
    "rkd_distance",
    "rkd_angle",
)


@pytest.mark.parametrize("name", NO_SCALE)
def test_losses_that_see_no_scale_see_none_at_all(cases: Mapping[str, Any], name: str) -> None:
    loss, student, teacher, *_ = cases[name]
    student, teacher = student.float().requires_grad_(), teacher.float()
    small, large = loss(student, teacher), loss(1e30 * student, 1e30 * teacher)
    assert torch.allclose(large, small)
    for slope in torch.autograd.grad(large, student), torch.autograd.grad(small, student):
        assert slope[0].isfinite().all()
