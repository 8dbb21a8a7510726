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


def share_of_the_right(term: AMTML, *, steps: int = 200) -> float:
    """Return what the gate gives to a teacher that is always right, beside one that never is, in front of a student that is neither."""
    with Streams(0).initialising("gate"):
        weigher = Gate(3, ["a", "b"])
    optimizer = torch.optim.Adam(weigher.parameters(), lr=0.1)
    right = 8.0 * F.one_hot(torch.arange(6) % 5, 5).float()
    batch = lesson(a_logits=right, b_logits=right.roll(1, dims=1))
    for _ in range(steps):
        optimizer.zero_grad()
        term.loss(batch, weigher).backward()
        optimizer.step()
    return float(weigher(batch.student_layers["features"]).exp()[:, 0].mean().detach())


def test_labels_turn_the_gate_to_the_teacher_that_is_right() -> None:
    assert share_of_the_right(AMTML(gate=100.0)) > 0.9


def test_the_student_pulls_the_gate_to_what_it_says_itself_which_labels_must_outweigh() -> None:
    """A student that is far from both teachers is nearest to their even mixture: the divergence holds the gate there."""
    shares = [share_of_the_right(AMTML(gate=gate)) for gate in (0.0, 1.0, 10.0, 100.0)]
    assert shares == sorted(shares)
    assert shares[0] < 0.6
