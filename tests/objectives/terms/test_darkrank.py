import pytest
import torch
from torch import Tensor

from fedkd.losses import darkrank
from fedkd.objectives import TERMS, Lesson, Objective

GENERATOR = torch.Generator().manual_seed(0)
STUDENT = torch.randn(6, 3, 2, generator=GENERATOR)
SAID, KNOWN = (torch.randn(6, 4, generator=GENERATOR) for _ in range(2))
LAYER = torch.randn(6, 5, generator=GENERATOR)


def loss(**options: object) -> Tensor:
    criterion = Objective([TERMS.create({"name": "darkrank", **options}, key="t")]).begin(
        student={"features": (3, 2)}, teacher={"features": (5,)}, outputs=4
    )
    assert not list(criterion.parameters())
    value: Tensor = criterion(
        Lesson(SAID, KNOWN, student_layers={"features": STUDENT}, teacher_layers={"features": LAYER})
    )
    return value


def test_samples_are_ranked_by_what_the_teachers_say_together_if_no_layer_is_named() -> None:
    assert loss() == darkrank(STUDENT, KNOWN.log_softmax(dim=1))
    assert loss(teacher_layer="features") == darkrank(STUDENT, LAYER)


@pytest.mark.parametrize(
    "options", [{"form": "soft"}, {"form": "soft", "length": 2}, {"length": 3}, {"alpha": 1.0}, {"beta": 1.0}]
)
def test_every_option_reaches_the_loss(options: dict[str, object]) -> None:
    value = loss(teacher_layer="features", **options)
    assert value == darkrank(STUDENT, LAYER, **options)  # type: ignore[arg-type]
    assert value != loss(teacher_layer="features")
