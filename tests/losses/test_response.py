import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.losses import dist, dkd, jsd, kd, mae, mse


def waves(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """The golden inputs: sin(a n + b) in row-major order."""
    return torch.sin(a * torch.arange(math.prod(shape), dtype=torch.float64) + b).reshape(shape)


STUDENT, TEACHER = 3 * waves((4, 5), 1.3, 0.1), 3 * waves((4, 5), 1.7, 0.9)


def test_kd_of_a_student_that_is_the_teacher_is_zero_at_every_temperature() -> None:
    for temperature in (0.1, 1.0, 20.0):
        assert kd(TEACHER, TEACHER, temperature=temperature).abs() < 1e-12


def test_kd_runs_from_teacher_to_student_and_not_back() -> None:
    student, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    p = torch.sigmoid(torch.tensor(2.0))
    forward = -0.5 * torch.log(p) - 0.5 * torch.log(1 - p) - math.log(2)
    assert torch.allclose(kd(student, teacher, temperature=1.0), forward)


def test_kd_sums_over_classes_and_averages_over_samples() -> None:
    each = kd(STUDENT, TEACHER, temperature=2.0, reduction="none")
    assert each.shape == (4,)
    assert torch.allclose(each.mean(), kd(STUDENT, TEACHER, temperature=2.0))
    padded = [F.pad(logits, (0, 3), value=-1e4) for logits in (STUDENT, TEACHER)]
    assert torch.allclose(kd(*padded, temperature=2.0, reduction="none"), each)


@given(temperature=st.floats(0.2, 50.0))
def test_kd_gives_the_student_the_gradient_temperature_times_the_gap_of_probabilities(
    temperature: float,
) -> None:
    student = STUDENT.clone().requires_grad_()
    kd(student, TEACHER, temperature=temperature, reduction="none").sum().backward()
    gap = F.softmax(STUDENT / temperature, dim=-1) - F.softmax(TEACHER / temperature, dim=-1)
    assert student.grad is not None
    assert torch.allclose(student.grad, temperature * gap, atol=1e-12)


def test_kd_tends_to_half_the_mean_squared_gap_of_centred_logits_as_the_temperature_grows() -> None:
    gap = STUDENT - TEACHER
    centred = gap - gap.mean(dim=-1, keepdim=True)
    limit = centred.square().sum(dim=-1) / (2 * 5)
    assert torch.allclose(kd(STUDENT, TEACHER, temperature=1e4, reduction="none"), limit, rtol=1e-3)


def test_kd_gives_the_teacher_no_gradient() -> None:
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    for loss in (kd(student, teacher), mae(student, teacher), mse(student, teacher)):
        loss.backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_kd_takes_log_probabilities_as_well_as_logits() -> None:
    said = F.log_softmax(TEACHER, dim=-1)
    assert torch.allclose(kd(STUDENT, said, temperature=4.0), kd(STUDENT, TEACHER, temperature=4.0))


@pytest.mark.parametrize("scale", [1e4, 1e8, 1e30])
def test_losses_in_log_space_stay_finite_on_extreme_logits(scale: float) -> None:
    student = torch.tensor([[scale, -scale, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[-scale, scale, 0.0], [scale, scale, -scale]])
    losses = (kd(student, teacher, temperature=1.0), kd(student, teacher, temperature=4.0))
    for loss in losses:
        assert loss.isfinite()
        loss.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_errors_of_raw_outputs_are_means_over_outputs() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 3.0]])
    assert mae(student, teacher, reduction="none").tolist() == [1.5, 1.5]
    assert mse(student, teacher, reduction="none").tolist() == [2.5, 4.5]
    assert float(mse(student, teacher)) == 3.5


@pytest.mark.parametrize("loss", [kd, mae, mse])
def test_a_student_and_a_teacher_of_different_shapes_are_refused_while_shapes_are_checked(
    loss: Callable[..., Tensor],
) -> None:
    with pytest.raises(TypeError, match="Type-check"):
        loss(torch.zeros(4, 5), torch.zeros(4, 6))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dkd_weighted_by_the_teachers_doubt_is_kd_sample_by_sample(temperature: float) -> None:
    targets = torch.arange(4)
    options = {"temperature": temperature, "reduction": "none"}
    target = dkd(STUDENT, TEACHER, targets, alpha=1.0, beta=0.0, **options)  # type: ignore[arg-type]
    others = dkd(STUDENT, TEACHER, targets, alpha=0.0, beta=1.0, **options)  # type: ignore[arg-type]
    doubt = 1 - F.softmax(TEACHER / temperature, dim=-1)[torch.arange(4), targets]
    assert torch.allclose(target + doubt * others, kd(STUDENT, TEACHER, **options))  # type: ignore[arg-type]


def test_dkd_rates_the_other_classes_whatever_the_target_class_says() -> None:
    targets = torch.arange(4)
    bold = STUDENT + 5 * F.one_hot(targets, 5)
    others = [dkd(student, TEACHER, targets, alpha=0.0, reduction="none") for student in (STUDENT, bold)]
    assert torch.allclose(*others)


def test_dkd_of_two_classes_is_refused() -> None:
    with pytest.raises(IllegalCombination, match="at least 3 classes, there are 2; take kd"):
        dkd(STUDENT[:, :2], TEACHER[:, :2], torch.zeros(4, dtype=torch.long))


def test_jsd_is_symmetric_at_one_half_and_swaps_roles_with_beta() -> None:
    assert torch.allclose(jsd(STUDENT, TEACHER), jsd(TEACHER, STUDENT))
    assert torch.allclose(jsd(STUDENT, TEACHER, beta=0.2), jsd(TEACHER, STUDENT, beta=0.8))
    assert float(jsd(1e4 * STUDENT, 1e4 * TEACHER)) <= math.log(2) + 1e-12


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_jsd_at_its_ends_is_the_limit_of_the_divergence_over_beta(beta: float) -> None:
    near = abs(beta - 1e-7)
    assert torch.allclose(
        jsd(STUDENT, TEACHER, beta=near) / 1e-7, jsd(STUDENT, TEACHER, beta=beta), rtol=1e-5
    )


@pytest.mark.parametrize("beta", [-0.1, 1.1, math.nan])
def test_jsd_refuses_a_beta_that_is_no_share(beta: float) -> None:
    with pytest.raises(InvalidOption, match="a number from 0 to 1"):
        jsd(STUDENT, TEACHER, beta=beta)


def test_dist_is_zero_where_probabilities_agree_up_to_an_affine_map_and_at_most_four_elsewhere() -> None:
    # Correlation forgives a student that is less sure by one and the same share; the 1e-8 is seen where a class hardly varies.
    softer = (0.5 * F.softmax(TEACHER, dim=-1) + 0.1).log()
    for student in (TEACHER + 3.0, softer):
        assert dist(student, TEACHER) < 2e-3
    assert 0 < dist(STUDENT, TEACHER) <= 4


def test_dist_has_one_weight_for_relations_between_classes_and_one_for_those_between_samples() -> None:
    rows, columns = (dist(STUDENT, TEACHER, beta=b, gamma=1 - b) for b in (1.0, 0.0))
    p, q = (F.softmax(x, dim=-1) for x in (STUDENT, TEACHER))
    by_row = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p, q, strict=True)])
    by_column = torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(p.T, q.T, strict=True)])
    assert torch.allclose(rows, 1 - by_row.mean(), atol=1e-6)
    assert torch.allclose(columns, 1 - by_column.mean(), atol=1e-6)
