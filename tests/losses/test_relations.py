import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fedkd.losses import cc, cckd, cosine_relations, pkt, rkd_angle, rkd_distance, sp


def features(width: int = 6, seed: int = 0, batch: int = 7) -> Tensor:
    return torch.randn(batch, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width: int = 6) -> Tensor:
    return torch.linalg.qr(features(width, seed=9, batch=width))[0]


@pytest.mark.parametrize("loss", [sp, rkd_distance, rkd_angle, pkt, cckd])
def test_a_rotation_and_a_scaling_of_features_cost_nothing(loss: Callable[..., Tensor]) -> None:
    teacher = features()
    assert abs(loss(3.0 * teacher @ rotation(), teacher)) < 1e-9
    assert loss(features(seed=1), teacher) > 1e-4


@pytest.mark.parametrize(
    ("loss", "sees"), [(rkd_distance, False), (rkd_angle, False), (sp, True), (pkt, True), (cckd, True)]
)
def test_who_sees_a_shift_of_all_features(loss: Callable[..., Tensor], sees: bool) -> None:
    teacher = features()
    assert (loss(teacher + 2.0, teacher) > 1e-6) == sees


@pytest.mark.parametrize("loss", [sp, rkd_distance, rkd_angle, pkt, cckd])
def test_student_and_teacher_may_differ_in_width_and_in_the_number_of_axes(
    loss: Callable[..., Tensor],
) -> None:
    teacher = features()
    padded = torch.cat((teacher, torch.zeros_like(teacher)), dim=1)
    assert abs(loss(padded.reshape(7, 3, 2, 2), teacher)) < 1e-12


@pytest.mark.parametrize("loss", [sp, rkd_distance, rkd_angle, pkt, cckd])
def test_the_order_of_samples_does_not_matter(loss: Callable[..., Tensor]) -> None:
    student, teacher = features(), features(seed=1)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert torch.allclose(loss(student[order], teacher[order]), loss(student, teacher))


def test_cc_is_about_neighbours_in_the_batch_and_a_single_sample_has_none() -> None:
    student, teacher = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, 0.0]]), torch.zeros(3, 2)
    assert cc(student, teacher, reduction="none").tolist() == [2.0, 0.0]
    assert cc(student[:1], teacher[:1]) == 0


def test_the_kernel_of_cckd_tends_to_the_gaussian_for_vectors_of_length_one() -> None:
    student, teacher = features(), features(seed=1)
    exact = []
    for x in (student, teacher):
        unit = x / x.norm(dim=1, keepdim=True)
        exact.append((-0.4 * torch.cdist(unit, unit).square()).exp())
    value = (exact[0] - exact[1]).square().mean()
    assert torch.allclose(cckd(student, teacher, order=12), value, atol=1e-9)
    assert not torch.allclose(cckd(student, teacher, order=1), value, atol=1e-4)


def test_rkd_distance_of_three_points_by_hand() -> None:
    # Distances 1, 1, 2 and 3, 4, 5 over their means 4/3 and 4.
    student, teacher = (
        torch.tensor([[0.0], [1.0], [2.0]]),
        torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]]),
    )
    gaps = [3 / 4 - 3 / 4, 3 / 4 - 1.0, 3 / 2 - 5 / 4]
    assert float(rkd_distance(student, teacher)) == pytest.approx(2 * sum(gap**2 / 2 for gap in gaps) / 9)


def test_rkd_angle_of_three_points_by_hand() -> None:
    # A right angle with sides 3 and 4 against a straight line with the right angle's corner in the middle.
    student, teacher = (
        torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]]),
        torch.tensor([[-1.0], [0.0], [1.0]]),
    )
    gaps = [3 / 5 - 1.0, 0.0 + 1.0, 4 / 5 - 1.0]
    assert float(rkd_angle(student, teacher)) == pytest.approx(2 * sum(gap**2 / 2 for gap in gaps) / 27)


def test_angles_keep_their_digits_far_from_the_origin() -> None:
    student, teacher = features().float(), features(seed=1).float()
    assert math.isclose(
        rkd_angle(student + 100.0, teacher), rkd_angle(student, teacher), rel_tol=1e-3, abs_tol=1e-5
    )


def test_pkt_compares_who_is_likely_to_be_whose_neighbour() -> None:
    student, teacher = features(batch=3), features(seed=1, batch=3)

    def chances(x: Tensor) -> Tensor:
        cosine = torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=-1)
        return (1 + cosine) / (1 + cosine).sum(dim=1, keepdim=True)

    s, t = chances(student), chances(teacher)
    assert torch.allclose(pkt(student, teacher), (t * (t / s).log()).mean(), atol=1e-6)


def test_cckd_of_first_order_is_the_global_structure_preserving_loss_with_the_cosine_kernel() -> None:
    """Joshi et al. (2022): the mean squared error of all cosines. Here it is cckd with gamma = 1/2 and the weight e^2."""
    student, teacher = features(), features(width=4, seed=1)
    cosines = [x / x.norm(dim=1, keepdim=True) for x in (student, teacher)]
    error = (cosines[0] @ cosines[0].T - cosines[1] @ cosines[1].T).square().mean()
    assert torch.allclose(math.e**2 * cckd(student, teacher, gamma=0.5, order=1), error)
    assert torch.allclose(cosine_relations(student, teacher) * 6 / 7, error)
