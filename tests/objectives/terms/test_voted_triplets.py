import itertools

import pytest
import torch
from torch import Tensor

from fedkd.objectives import Lesson, Objective, over
from fedkd.objectives.terms.voted_triplets import VotedTriplets, squared_distances

GENERATOR = torch.Generator().manual_seed(0)
STUDENT = torch.randn(7, 3, generator=GENERATOR, dtype=torch.float64)
TEACHERS = [torch.randn(7, width, 2, generator=GENERATOR, dtype=torch.float64) for width in (4, 5, 6)]


def loss(student: Tensor, *teachers: Tensor, **options: float | bool) -> Tensor:
    names = [str(place) for place in range(len(teachers))]
    objective = over(Objective([VotedTriplets(**options)]), dict.fromkeys(names, 1 / len(names)))  # type: ignore[arg-type]
    layers = {f"{name}/features": said for name, said in zip(names, teachers, strict=True)}
    shapes = {name: tuple(layer.shape[1:]) for name, layer in layers.items()}
    criterion = objective.begin(student={"features": student.shape[1:]}, teacher=shapes, outputs=2)
    said = torch.zeros(len(student), 2, dtype=torch.float64)
    value: Tensor = criterion(Lesson(said, said, student_layers={"features": student}, teacher_layers=layers))
    return value


def by_hand(student: Tensor, *teachers: Tensor, margin: float) -> float:
    def apart(rows: Tensor, one: int, other: int) -> float:
        return float((rows[one] - rows[other]).square().sum())

    lacking = []
    for i, (j, k) in itertools.product(range(len(student)), itertools.combinations(range(len(student)), 2)):
        if i in (j, k):
            continue
        votes = sum(1 if apart(rows, i, k) > apart(rows, i, j) else -1 for rows in teachers)
        if votes:
            near, far = (j, k) if votes > 0 else (k, j)
            lacking.append(max(0.0, apart(student, i, near) - apart(student, i, far) + margin))
    return sum(lacking) / len(lacking)


@pytest.mark.parametrize("many", [1, 2, 3])
def test_it_is_the_mean_over_all_triplets_of_a_batch_that_are_not_a_draw(many: int) -> None:
    expected = by_hand(STUDENT, *TEACHERS[:many], margin=0.5)
    assert float(loss(STUDENT, *TEACHERS[:many], margin=0.5, scaled=False)) == pytest.approx(expected)


def test_the_scale_of_the_features_does_not_matter_unless_it_is_asked_for() -> None:
    assert float(loss(100.0 * STUDENT, *TEACHERS)) == pytest.approx(float(loss(STUDENT, *TEACHERS)))
    assert loss(100.0 * STUDENT, *TEACHERS, scaled=False) > 100 * loss(STUDENT, *TEACHERS, scaled=False)


def test_an_order_that_is_kept_costs_nothing_and_one_triplet_needs_three_samples() -> None:
    assert float(loss(STUDENT, STUDENT, margin=0.0)) == pytest.approx(0.0, abs=1e-12)
    for few in (1, 2):
        student = STUDENT[:few].clone().requires_grad_()
        value = loss(student, *(rows[:few] for rows in TEACHERS))
        value.backward()  # type: ignore[no-untyped-call]
        assert value == 0.0


def test_its_gradient_is_that_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(
        lambda rows: loss(rows, *TEACHERS, scaled=False), (STUDENT.clone().requires_grad_(),)
    )


def test_squared_distances_are_those_of_flattened_layers() -> None:
    expected = torch.cdist(TEACHERS[0].flatten(1), TEACHERS[0].flatten(1)).square()
    assert torch.allclose(squared_distances(TEACHERS[0]), expected)
