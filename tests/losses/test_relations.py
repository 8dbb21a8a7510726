import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fedkd.foundation.errors import InvalidOption
from fedkd.losses import cc, cckd, cosine_relations, darkrank, pkt, rkd_angle, rkd_distance, sp


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


def lists(x: Tensor, query: int, *, alpha: float, beta: float) -> dict[int, float]:
    """The scores of all samples but the one that ranks them, one by one."""
    unit = [row / row.norm() for row in x]
    return {i: -alpha * float((unit[query] - unit[i]).norm()) ** beta for i in range(len(x)) if i != query}


def chance(order: tuple[int, ...], scores: dict[int, float]) -> float:
    """Of an order: who is first is drawn by `e^score`, then who is second of those that are left."""
    left, value = list(order), 1.0
    for i in order:
        value *= math.exp(scores[i]) / sum(math.exp(scores[j]) for j in left)
        left.remove(i)
    return value


@pytest.mark.parametrize(("length", "alpha", "beta"), [(None, 3.0, 3.0), (2, 1.5, 1.0), (99, 0.5, 0.5)])
def test_darkrank_in_its_hard_form_is_the_chance_of_the_teachers_likeliest_order(
    length: int | None, alpha: float, beta: float
) -> None:
    student, teacher = features(batch=5), features(width=3, seed=1, batch=5)
    values = []
    for query in range(5):
        known, learned = (lists(x, query, alpha=alpha, beta=beta) for x in (teacher, student))
        kept = sorted(known, key=lambda i: -known[i])[:length]
        likeliest = max(itertools.permutations(kept), key=lambda order: chance(order, known))
        values.append(-math.log(chance(likeliest, learned)))
    given = darkrank(student, teacher, length=length, alpha=alpha, beta=beta, reduction="none")
    assert given.tolist() == pytest.approx(values, abs=1e-8, rel=0)


@pytest.mark.parametrize("length", [None, 1, 3, 6])
def test_darkrank_in_its_soft_form_is_the_divergence_over_all_orders_of_the_teachers_nearest(
    length: int | None,
) -> None:
    student, teacher = features(batch=6), features(width=3, seed=1, batch=6)
    values = []
    for query in range(6):
        known, learned = (lists(x, query, alpha=3.0, beta=3.0) for x in (teacher, student))
        kept = sorted(known, key=lambda i: -known[i])[: length or 4]
        pairs = [(chance(o, known), chance(o, learned)) for o in itertools.permutations(kept)]
        assert sum(p for p, _ in pairs) == pytest.approx(1.0)
        values.append(sum(p * math.log(p / q) for p, q in pairs))
    given = darkrank(student, teacher, form="soft", length=length, reduction="none")
    assert given.tolist() == pytest.approx(values, abs=1e-8, rel=0)


@pytest.mark.parametrize("form", ["hard", "soft"])
def test_darkrank_does_not_see_a_rotation_and_a_scaling_nor_the_order_of_samples(form: str) -> None:
    student, teacher = features(), features(seed=1)

    def loss(s: Tensor, t: Tensor) -> float:
        return float(darkrank(s, t, form=form))  # type: ignore[arg-type]

    value, order = loss(student, teacher), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert loss(3.0 * student @ rotation(), 0.1 * teacher @ rotation()) == pytest.approx(value, abs=1e-10)
    assert loss(student[order], teacher[order]) == pytest.approx(value, abs=1e-10)
    assert loss(student.reshape(7, 1, 3, 2), teacher) == pytest.approx(value, abs=1e-12)
    assert loss(student[order], teacher) != pytest.approx(value, abs=1e-3)


def test_darkrank_is_least_for_the_teachers_order_and_nothing_where_margins_are_large() -> None:
    # On a half circle, sample 0 at one end: the angles of the others are their distances in order.
    def circle(*degrees: float) -> Tensor:
        angles = torch.tensor([0.0, *degrees], dtype=torch.float64).deg2rad()
        return torch.stack((angles.cos(), angles.sin()), dim=1)

    teacher = circle(20.0, 70.0, 120.0, 170.0)
    costs = {
        order: float(darkrank(circle(*order), teacher, reduction="none")[0])
        for order in itertools.permutations((20.0, 70.0, 120.0, 170.0))
    }
    assert min(costs, key=lambda order: costs[order]) == (20.0, 70.0, 120.0, 170.0)
    assert max(costs, key=lambda order: costs[order]) == (170.0, 120.0, 70.0, 20.0)
    assert float(darkrank(teacher, teacher, alpha=300.0, reduction="none")[0]) < 1e-8


@pytest.mark.parametrize("form", ["hard", "soft"])
@pytest.mark.parametrize("few", [0, 1, 2])
def test_darkrank_of_no_other_sample_or_of_one_is_nothing(form: str, few: int) -> None:
    student = features(batch=few).requires_grad_()
    value = darkrank(student, features(seed=1, batch=few), form=form)  # type: ignore[arg-type]
    value.backward()  # type: ignore[no-untyped-call]
    assert value == 0
    assert student.grad is not None
    assert torch.allclose(student.grad, torch.zeros_like(student))


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_darkrank_of_samples_in_one_place_counts_all_orders_alike_and_has_a_gradient(beta: float) -> None:
    student = features(batch=1).expand(4, 6).clone().requires_grad_()
    value = darkrank(student, features(seed=1, batch=4), beta=beta)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == pytest.approx(math.log(6))
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(
    ("form", "length", "allowed"),
    [("soft", 7, "1 to 6 samples with form=soft"), ("soft", 0, "1 to 6"), ("hard", 0, "1 sample or more")],
)
def test_lists_that_darkrank_cannot_go_through_are_refused(form: str, length: int, allowed: str) -> None:
    with pytest.raises(InvalidOption, match=f"length: got {length}, allowed is {allowed}"):
        darkrank(features(), features(), form=form, length=length)  # type: ignore[arg-type]


def test_cckd_of_first_order_is_the_global_structure_preserving_loss_with_the_cosine_kernel() -> None:
    """Joshi et al. (2022): the mean squared error of all cosines. Here it is cckd with gamma = 1/2 and the weight e^2."""
    student, teacher = features(), features(width=4, seed=1)
    cosines = [x / x.norm(dim=1, keepdim=True) for x in (student, teacher)]
    error = (cosines[0] @ cosines[0].T - cosines[1] @ cosines[1].T).square().mean()
    assert torch.allclose(math.e**2 * cckd(student, teacher, gamma=0.5, order=1), error)
    assert torch.allclose(cosine_relations(student, teacher) * 6 / 7, error)
