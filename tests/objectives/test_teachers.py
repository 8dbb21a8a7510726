import pytest
import torch
import torch.nn.functional as F

from fedkd import losses
from fedkd.foundation.seeding import Streams
from fedkd.objectives import Lesson, Objective, over
from fedkd.objectives.terms.amtml import AMTML, Gate
from fedkd.objectives.terms.at import AT
from fedkd.objectives.terms.hint import Hint
from fedkd.objectives.terms.kd import KD
from fedkd.objectives.terms.sp import SP

MAPS = {
    name: torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(n)) for n, name in enumerate("ab")
}
SAID = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))


def lesson(**layers: torch.Tensor) -> Lesson:
    said = torch.linspace(-1, 1, 30).reshape(6, 5)
    mine = {"features": torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(9))}
    heard = {name.replace("_", "/"): layer for name, layer in layers.items()}
    return Lesson(said, SAID, student_layers=mine, teacher_layers=heard, targets=torch.arange(6) % 5)


def test_a_term_on_layers_is_the_mean_over_teachers_by_their_shares_and_others_stay() -> None:
    objective = over(Objective([AT(weight=2.0), KD()]), {"a": 0.75, "b": 0.25})
    assert objective.teacher_layers == ("a/features", "b/features")
    shapes = dict.fromkeys(objective.teacher_layers, (3, 4, 4))
    criterion = objective.begin(student={"features": (3, 4, 4)}, teacher=shapes, outputs=5)
    batch = lesson(a_features=MAPS["a"], b_features=MAPS["b"])
    each = [losses.at(batch.student_layers["features"], MAPS[name]) for name in "ab"]
    expected = (
        1.5 * each[0] + 0.5 * each[1] + losses.kd(batch.student, batch.teacher, temperature=KD().temperature)
    )
    assert torch.allclose(criterion(batch), expected)


def test_each_teacher_has_a_regressor_of_its_own_for_layers_of_any_shape() -> None:
    objective = over(Objective([Hint()]), {"a": 0.5, "b": 0.5})
    criterion = objective.begin(
        student={"features": (3, 4, 4)},
        teacher={"a/features": (3, 4, 4), "b/features": (7, 2, 2)},
        outputs=5,
    )
    assert [len(weight) for weight in criterion.parameters() if weight.ndim > 1] == [3, 7]
    criterion(lesson(a_features=MAPS["a"], b_features=torch.rand(6, 7, 2, 2))).backward()
    assert all(weight.grad is not None for weight in criterion.parameters())


def test_terms_on_what_the_teachers_say_together_are_left_alone() -> None:
    terms = [SP(), KD()]
    assert over(Objective(terms), {"a": 0.5, "b": 0.5}).terms == tuple(terms)


def gate_and_loss(**options: object) -> tuple[Gate, torch.Tensor]:
    term = AMTML(**options)  # type: ignore[arg-type]
    objective = over(Objective([term]), {"a": 0.5, "b": 0.5})
    shapes = {"a/logits": (5,), "b/logits": (5,)}
    criterion = objective.begin(student={"features": (3, 4, 4)}, teacher=shapes, outputs=5)
    gate = criterion.learned["0"]
    assert isinstance(gate, Gate)
    right = 8.0 * F.one_hot(torch.arange(6) % 5, 5).float()
    loss: torch.Tensor = criterion(lesson(a_logits=right, b_logits=right.roll(1, dims=1)))
    return gate, loss


def test_the_gate_begins_with_equal_weights_and_the_loss_is_then_that_of_the_mean_of_probabilities() -> None:
    _, loss = gate_and_loss(temperature=2.0, gate=0.0)
    right = 8.0 * F.one_hot(torch.arange(6) % 5, 5).float()
    mean = torch.stack([F.softmax(right / 2, -1), F.softmax(right.roll(1, dims=1) / 2, -1)]).mean(0)
    expected = losses.kd(lesson().student, 2.0 * mean.log(), temperature=2.0)
    assert torch.allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(("gate", "learns"), [(1.0, True), (0.0, False)])
def test_labels_turn_the_gate_to_the_teacher_that_is_right(gate: float, *, learns: bool) -> None:
    with Streams(0).initialising("gate"):
        weigher = Gate(3, 2)
    optimizer = torch.optim.Adam(weigher.parameters(), lr=0.1)
    right = 8.0 * F.one_hot(torch.arange(6) % 5, 5).float()
    batch = lesson(a_logits=right, b_logits=right.roll(1, dims=1))
    term = AMTML(gate=gate)
    before = weigher(batch.student_layers["features"]).exp()[:, 0].mean().detach()
    for _ in range(30):
        optimizer.zero_grad()
        term.loss(batch, weigher).backward()
        optimizer.step()
    share = weigher(batch.student_layers["features"]).exp()[:, 0].mean().detach()
    assert (float(share - before) > 0.01) == learns
