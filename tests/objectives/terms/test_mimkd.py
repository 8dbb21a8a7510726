import pytest
import torch

from fedkd.losses import MIMKD
from fedkd.objectives import TERMS, Lesson, Objective
from fedkd.objectives.objective import Criterion

STUDENT = {"body": (3, 4, 4), "features": (5,)}
TEACHER = {"body": (2, 4, 4), "features": (6,)}


def begin(**options: object) -> Criterion:
    return Objective([TERMS.create({"name": "mimkd", **options}, key="t")]).begin(
        student=STUDENT, teacher=TEACHER, outputs=4
    )


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, {"global": 1.0}),
        ({"teacher_layer": "fused"}, {"global": 1.0}),
        ({"student_layer": "body", "global_weight": 0}, {"local": 1.0}),
        (
            {"student_layer": "body", "teacher_layer": "body", "local_weight": 2, "feature_weight": 3},
            {"global": 1.0, "local": 2.0, "feature": 3.0},
        ),
    ],
)
def test_layers_and_weights_say_which_pairs_are_learned(
    options: dict[str, object], kinds: dict[str, float]
) -> None:
    criterion = begin(width=4, **options)
    learned = criterion.learned["0"]
    assert isinstance(learned, MIMKD)
    assert learned.weights == kinds
    drawn = torch.Generator().manual_seed(0)
    mine, theirs = (
        {name: torch.randn(7, *shape, generator=drawn) for name, shape in shapes.items()}
        for shapes in (STUDENT, TEACHER)
    )
    said, known = (torch.randn(7, 4, generator=drawn) for _ in range(2))
    lesson = Lesson(said, known, student_layers=mine, teacher_layers=theirs)
    student, teacher = (
        mine[str(options.get("student_layer", "features"))],
        lesson.of_teacher(str(options.get("teacher_layer", "features"))),
    )
    assert criterion(lesson) == learned(student, teacher)
