import pytest
import torch
from torch import Tensor

from fedkd.losses import attentive_imitation, bounded_regression, outlier_rejection


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def test_bounded_regression_by_hand() -> None:
    student, teacher, true = column(0.5, 3.0, 0.0), column(1.0, 1.0, 0.1), column(0.0, 0.0, 0.0)
    # Better than the teacher; worse; better. Huber: .125, 2.5, 0.
    each = bounded_regression(student, teacher, true, reduction="none")
    assert each.tolist() == [0.125, 2.5 + 0.5 * 9, 0.0]


def test_a_margin_asks_the_student_to_be_that_much_better() -> None:
    student, teacher, true = column(0.5), column(1.0), column(0.0)
    assert bounded_regression(student, teacher, true, margin=0.7) == 0.125
    assert bounded_regression(student, teacher, true, margin=0.8) == 0.125 + 0.5 * 0.25


def test_the_teacher_is_imitated_less_the_more_it_errs() -> None:
    student, teacher, true = column(0.0, 0.0, 0.0), column(1.0, 3.0, 2.0), column(1.0, 1.0, 1.0)
    # Squared errors 0, 4, 1 give trust 1, 0, 3/4.
    each = attentive_imitation(student, teacher, true, alpha=0.25, reduction="none")
    assert each.tolist() == [0.25 + 0.75 * 1, 0.25, 0.25 + 0.75 * 0.75 * 4]
    known = attentive_imitation(student, teacher, true, alpha=0.25, eta=8.0, reduction="none")
    assert known.tolist() == [1.0, 0.25 + 0.75 * 0.5 * 9, 0.25 + 0.75 * 0.875 * 4]


def test_trust_is_never_negative() -> None:
    student, true = column(0.0, 0.0), column(0.0, 0.0)
    teacher = column(10.0, 10.1)
    assert attentive_imitation(student, teacher, true, reduction="none").tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("said", "trust"), [(1.0, 1.0), (2.0, 0.0)])
def test_a_single_sample_is_imitated_where_the_teacher_is_exactly_right(said: float, trust: float) -> None:
    value = attentive_imitation(column(0.0), column(said), column(1.0))
    assert float(value) == 0.5 + 0.5 * trust * said**2


def test_labels_that_are_far_from_the_teacher_are_rejected() -> None:
    student, teacher = column(0.0, 0.0, 0.0, 0.0, 0.0), column(1.0, 1.0, 1.0, 1.0, 1.0)
    labels = column(1.1, 0.8, 1.3, 0.5, 9.0)
    # Distances .1, .2, .3, .5, 8; the median .3 gives the deviation .44478: three of them hold all but the last label.
    each = outlier_rejection(student, teacher, labels, reduction="none")
    assert each.tolist() == pytest.approx([1.21, 0.64, 1.69, 0.25, 0.0], abs=1e-12)
    # One of them does not hold the label at distance .5 either.
    strict = outlier_rejection(student, teacher, labels, deviations=1.0, reduction="none")
    assert strict.tolist() == pytest.approx([1.21, 0.64, 1.69, 0.0, 0.0], abs=1e-12)
    assert float(outlier_rejection(student, teacher, labels)) == pytest.approx(3.79 / 5, abs=1e-12)


def test_the_deviation_of_the_whole_training_set_can_be_given() -> None:
    student, teacher, labels = column(0.0, 0.0), column(0.0, 0.0), column(0.5, 2.0)
    assert outlier_rejection(student, teacher, labels, scale=0.5, reduction="none").tolist() == [0.25, 0.0]
    assert outlier_rejection(student, teacher, labels, scale=1.0, reduction="none").tolist() == [0.25, 4.0]


def test_a_single_label_is_kept_and_no_label_costs_nothing() -> None:
    assert float(outlier_rejection(column(0.0), column(50.0), column(1.0))) == 1.0
    nothing = torch.empty(0, 1, dtype=torch.float64)
    assert float(outlier_rejection(nothing, nothing, nothing)) == 0.0


def test_a_rejected_label_moves_no_student() -> None:
    student = column(0.0, 0.0, 0.0).requires_grad_()
    outlier_rejection(student, column(0.0, 0.0, 0.0), column(0.1, -0.1, 7.0)).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad[:, 0].ne(0).tolist() == [True, True, False]
