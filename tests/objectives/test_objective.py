from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.models.lenet import LeNet
from fedkd.models.mlp import MLP
from fedkd.objectives import TERMS, Criterion, Lesson, Objective, Schedule, Taps, Term, layer_shapes
from fedkd.objectives.terms.hint import Hint
from fedkd.objectives.terms.kd import KD
from fedkd.objectives.terms.sp import SP
from fedkd.objectives.terms.vid import VID
from fedkd.tasks import Regression


def networks() -> tuple[nn.Module, nn.Module]:
    with Streams(0).initialising("test"):
        return (
            LeNet(channels=(2, 3), hidden=5).network((1, 8, 8), 4),
            LeNet(channels=(4, 6), hidden=9).network((1, 8, 8), 4),
        )


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lesson(**changed: Any) -> Lesson:
    given = {"student_layers": {"features": numbers(6, 3, seed=2)}} | changed
    return Lesson(numbers(6, 4), numbers(6, 4, seed=1), **given)


def begin(*terms: Term) -> Criterion:
    return Objective(terms).begin(student={"features": (3,)}, teacher={}, outputs=4)


def test_terms_are_added_up_by_their_weights() -> None:
    batch = lesson()
    value = begin(KD(temperature=2.0, weight=0.3), SP(weight=7.0))(batch)
    kd = losses.kd(batch.student, batch.teacher, temperature=2.0)
    sp = losses.sp(batch.student_layers["features"], batch.teacher.log_softmax(dim=-1))
    assert torch.allclose(value, 0.3 * kd + 7 * sp)


def test_numbers_are_related_as_they_are() -> None:
    batch = lesson(task=Regression())
    assert torch.allclose(begin(SP())(batch), losses.sp(batch.student_layers["features"], batch.teacher))


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule(), [1, 1, 1, 1]),
        (Schedule(end=0.5), [0.5] * 4),
        (Schedule(shape="linear", over=0.5), [0, 0.5, 1, 1]),
        (Schedule(shape="linear", begin=2.0, end=0.0, over=1.0), [2, 1.5, 1, 0]),
        (Schedule(shape="cosine", over=1.0), [0, 0.146447, 0.5, 1]),
        (Schedule(shape="step", begin=1.0, end=0.0, over=0.5), [1, 1, 0, 0]),
        (Schedule(shape="linear", over=0.0), [1, 1, 1, 1]),
    ],
)
def test_a_schedule_takes_the_weight_from_begin_to_end(schedule: Schedule, factors: list[float]) -> None:
    assert [schedule.factor(t) for t in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(factors, abs=1e-6)
    batch = lesson()
    whole, part = begin(KD())(batch), begin(KD(schedule=schedule))(batch, 0.25)
    assert torch.allclose(part, factors[1] * whole)


def test_a_term_of_weight_zero_is_not_even_looked_at() -> None:
    assert begin(KD(weight=0.0))(lesson(student_layers={})) == 0
    assert torch.equal(begin(KD(), SP(weight=0.0))(lesson(student_layers={})), begin(KD())(lesson()))


def test_a_student_learns_layers_of_another_shape_with_what_the_terms_learn() -> None:
    """The loop that a user of plain PyTorch writes."""
    student, teacher = networks()
    inputs = {"image": torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))}
    objective = Objective(
        [
            KD(),
            Hint(student_layer="body.3", teacher_layer="body.3"),
            VID(student_layer="features", teacher_layer="features", weight=0.1),
        ]
    )
    assert objective.student_layers == ("body.3", "features")
    with Streams(1).initialising("test"):
        criterion = objective.begin(
            student=layer_shapes(student, objective.student_layers, inputs),
            teacher=layer_shapes(teacher, objective.teacher_layers, inputs),
            outputs=4,
        )
    optimizer = torch.optim.Adam([*student.parameters(), *criterion.parameters()], lr=0.01)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        with (
            Taps(student, objective.student_layers) as mine,
            Taps(teacher, objective.teacher_layers) as theirs,
        ):
            said, known = student(inputs["image"]), teacher(inputs["image"])
        loss = criterion(Lesson(said.logits, known.logits, student_layers=mine, teacher_layers=theirs))
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(weight.grad is not None for weight in criterion.parameters())


def test_every_loss_of_the_package_is_a_term() -> None:
    # FedNTD's clients learn with `not_true_kd` from their own labels, which no lesson of the proxy set has.
    # A task's own losses are under `supervised` and `divergence`.
    others = {"mae", "mse", "rrd_items", "cd_items", "not_true_kd", "gaussian", "gaussian_nll", "gaussian_kl"} | {
        "supervised_contrastive", "cosine", "cosine_relations", "info_nce",
    }  # fmt: skip
    functions = {name for name in losses.__all__ if name[0].islower()} - others
    # The gate of `amtml` learns through the teachers' side, from which no loss lets a gradient flow; `aekd`, `amalgamation`, `tmkd` and
    # `voted_triplets` see several teachers.
    of_several = {"amtml", "aekd", "amalgamation", "tmkd", "voted_triplets"}
    # `g_crd` and `hkd` have `info_nce` behind what they learn.
    assert set(TERMS.names()) == functions | {"divergence", "supervised", "g_crd", "hkd"} | of_several
    assert TERMS.create({"name": "divergence", "measure": "mae"}, key="terms").measure == "mae"


@pytest.mark.parametrize("name", ["dkd", "supervised"])
def test_labels_are_the_teachers_or_the_true_ones(name: str) -> None:
    batch = lesson(targets=torch.tensor([0, 1, 2, 3, 0, 1]))
    said = batch.teacher.argmax(dim=-1)
    by_teacher, true = (
        begin(TERMS.create({"name": name, "labels": whose}, key="t")) for whose in ("teacher", "proxy")
    )
    assert by_teacher(batch) == true(lesson(targets=said))
    assert by_teacher(batch) != true(batch)
    with pytest.raises(IllegalCombination, match="true targets, and these samples have none"):
        true(lesson())


def test_what_draws_needs_a_generator() -> None:
    with pytest.raises(IllegalCombination, match="give the lesson a generator"):
        begin(TERMS.create({"name": "rrd", "interesting": 1, "uninteresting": 2}, key="t"))(lesson())


def test_layers_of_teachers_that_are_not_there_are_refused() -> None:
    with pytest.raises(
        IllegalCombination, match=r"hint learns from features of the teachers' networks.*feddf"
    ):
        begin(Hint())


def test_a_part_of_a_term_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"terms\.0\.schedule\.shape: got 'liner'.*did you mean 'linear'"):
        TERMS.create({"name": "kd", "schedule": {"shape": "liner"}}, key="terms.0")


def test_vectors_and_maps_are_related_by_one_term() -> None:
    student, teacher = networks()
    with Streams(0).initialising("test"):
        flat = MLP(hidden=(7,)).network((1, 8, 8), 4)
    x = {"image": torch.rand(5, 1, 8, 8)}
    term = SP(student_layer="body.0", teacher_layer="body.3")
    objective = Objective([term])
    criterion = objective.begin(
        student=layer_shapes(flat, objective.student_layers, x),
        teacher=layer_shapes(teacher, objective.teacher_layers, x),
        outputs=4,
    )
    with Taps(flat, objective.student_layers) as mine, Taps(teacher, objective.teacher_layers) as theirs:
        said, known = flat(x["image"]).logits, teacher(x["image"]).logits
    assert criterion(Lesson(said, known, student_layers=mine, teacher_layers=theirs)) > 0
    del student
