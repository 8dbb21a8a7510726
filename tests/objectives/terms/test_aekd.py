import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd import losses
from fedkd.foundation.errors import IllegalCombination
from fedkd.losses.gradients import smallest_combination
from fedkd.objectives import Lesson, Objective, over
from fedkd.objectives.terms.aekd import AEKD

CLASSES = 5
TRUE = torch.arange(40) % CLASSES


def answers(labels: Tensor, sure: float) -> Tensor:
    return sure * F.one_hot(labels, CLASSES).double()


def taught(student: Tensor, *teachers: Tensor, **options: object) -> tuple[Tensor, dict[str, float]]:
    """Return the loss on one batch and how much each teacher counted."""
    names = [str(place) for place in range(len(teachers))]
    objective = over(Objective([AEKD(**options)]), dict.fromkeys(names, 1 / len(names)))  # type: ignore[arg-type]
    criterion = objective.begin(
        student={}, teacher=dict.fromkeys(objective.teacher_layers, (CLASSES,)), outputs=CLASSES
    )
    layers = {f"{name}/logits": said for name, said in zip(names, teachers, strict=True)}
    loss = criterion(Lesson(student, torch.stack(teachers).mean(0), teacher_layers=layers))
    return loss, dict(criterion.shares())


@pytest.mark.parametrize("gradients", ["batch", "samples"])
def test_weights_are_the_smallest_combination_of_the_gradients_of_each_teachers_own_loss(
    gradients: str,
) -> None:
    generator = torch.Generator().manual_seed(0)
    student, *teachers = (torch.randn(8, CLASSES, generator=generator, dtype=torch.float64) for _ in range(4))
    rows = []
    for teacher in teachers:
        asked = student.clone().requires_grad_()
        losses.kd(asked, teacher, temperature=3.0).backward()
        assert asked.grad is not None
        rows.append(asked.grad.sum(0) if gradients == "batch" else asked.grad.flatten())
    stacked = torch.stack(rows).numpy()
    expected = smallest_combination(stacked @ stacked.T, largest=0.6)
    loss, shares = taught(student, *teachers, temperature=3.0, largest=0.6, gradients=gradients)
    assert list(shares.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    each = [losses.kd(student, teacher, temperature=3.0) for teacher in teachers]
    assert loss.item() == pytest.approx(sum(a * b.item() for a, b in zip(shares.values(), each, strict=True)))


@pytest.mark.parametrize("gradients", ["batch", "samples"])
def test_several_answers_of_a_sample_make_one_gradient(gradients: str) -> None:
    generator = torch.Generator().manual_seed(1)
    said = [torch.randn(8, CLASSES, generator=generator, dtype=torch.float64) for _ in range(4)]
    loss, shares = taught(*said, gradients=gradients)
    twice, same = taught(*(torch.stack([one, one], dim=1) for one in said), gradients=gradients)
    assert list(same.values()) == pytest.approx(list(shares.values()), abs=1e-6)
    assert twice.item() == pytest.approx(loss.item())


def test_the_one_that_contradicts_all_others_counts_half_before_a_fresh_student_and_nothing_before_one_that_follows_them() -> (
    None
):
    """So weights that are found once, before the student has learned, are those of the worst moment."""
    right, wrong = answers(TRUE, 6.0), answers((TRUE + 1) % CLASSES, 6.0)
    teachers = (right, 0.9 * right, wrong)
    how = {"temperature": 1.0, "gradients": "samples", "largest": 1.0}
    _, fresh = taught(torch.zeros_like(right), *teachers, **how)
    _, later = taught(0.8 * right, *teachers, **how)
    assert fresh["2"] == pytest.approx(0.5, abs=0.02)
    assert later["2"] < 0.01


def test_without_the_teachers_networks_it_says_what_to_take() -> None:
    with pytest.raises(IllegalCombination, match="aekd looks at teachers one by one"):
        Objective([AEKD()]).begin(student={}, teacher={"logits": (CLASSES,)}, outputs=CLASSES)
