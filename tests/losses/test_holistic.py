import math

import pytest
import torch
from torch import Tensor, nn

from fedkd.foundation.seeding import Streams
from fedkd.losses import HKD, info_nce
from fedkd.losses.holistic import _joined, nearest

PAIRS = torch.tensor([[4.0, 0.0], [0.0, 4.0], [4.0, 0.1], [0.1, 4.0]], dtype=torch.float64)
"""Logits of four samples, of which 0 and 2 are alike, and 1 and 3."""


def module(**options: float) -> HKD:
    with Streams(0).initialising("test"):
        return HKD((4,), (2, 3), width=6, **{"neighbours": 3, **options}).double()  # type: ignore[arg-type]


def batch(count: int = 7) -> list[Tensor]:
    drawn = torch.Generator().manual_seed(3)
    return [
        torch.randn(count, *shape, generator=drawn, dtype=torch.float64)
        for shape in ((4,), (2, 3), (5,), (5,))
    ]


def test_the_nearest_are_the_sample_itself_and_those_that_get_the_same_answer() -> None:
    assert nearest(PAIRS, 2).tolist() == [[0, 2], [1, 3], [2, 0], [3, 1]]
    assert nearest(PAIRS, 1).flatten().tolist() == [0, 1, 2, 3]
    assert nearest(PAIRS[:3], 9).shape == (3, 3)


def test_a_sample_without_neighbours_has_its_own_embedding_in_their_place() -> None:
    embeddings = batch()[0]
    assert torch.equal(
        _joined(embeddings, nearest(batch()[2], 1)), torch.cat((embeddings, embeddings), dim=1)
    )


def test_a_batch_of_four_by_hand() -> None:
    loss = HKD((2,), (2,), neighbours=2, width=2, temperature=0.5, individual=0.25).double()
    for layer in loss.children():
        assert isinstance(layer, nn.Linear)
        nn.init.zeros_(layer.bias)
        with torch.no_grad():  # e is the features; h is e and twice the mean of the neighbours
            layer.weight.copy_(
                torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 2.0]])[:, : layer.in_features]
            )
    student = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, -0.6]]
    teacher = [[0.0, 1.0], [1.0, 0.0], [-0.6, 0.8], [0.0, -1.0]]
    partner = [2, 3, 0, 1]

    def holistic(e: list[list[float]]) -> list[list[float]]:
        # twice the mean of itself and its partner is their sum
        sums = [[2 * a + b for a, b in zip(e[i], e[partner[i]], strict=True)] for i in range(4)]
        return [[a / math.hypot(*h) for a in h] for h in sums]

    def contrast(s: list[list[float]], t: list[list[float]]) -> float:
        scores = [[sum(a * b for a, b in zip(x, y, strict=True)) / 0.5 for y in t] for x in s]
        rows = [math.log(sum(math.exp(scores[i][j]) for j in range(4))) - scores[i][i] for i in range(4)]
        columns = [math.log(sum(math.exp(scores[j][i]) for j in range(4))) - scores[i][i] for i in range(4)]
        return sum(rows) / 4 + sum(columns) / 4

    expected = contrast(holistic(student), holistic(teacher)) + 0.25 * contrast(student, teacher)
    features = [torch.tensor(x, dtype=torch.float64) for x in (student, teacher)]
    assert loss(*features, PAIRS, PAIRS).item() == pytest.approx(expected, abs=1e-8)


def test_without_neighbours_and_with_equal_weights_it_is_the_contrast_of_the_embeddings() -> None:
    loss = HKD((4,), (6,), neighbours=1, width=3, individual=0.0).double()
    half = torch.cat((torch.eye(3), torch.eye(3)), dim=1).double()
    for graph in (loss.student_graph, loss.teacher_graph):
        nn.init.zeros_(graph.bias)
        graph.weight = nn.Parameter(half)
    student, teacher, *logits = batch()
    mine, theirs = loss.student(student), loss.teacher(teacher.flatten(1))
    either = info_nce(mine, theirs, temperature=0.07) + info_nce(theirs, mine, temperature=0.07)
    assert torch.allclose(loss(student, teacher.flatten(1), *logits), either)


def test_the_order_of_samples_does_not_matter() -> None:
    loss, given = module(), batch()
    order, labels = torch.tensor([3, 0, 6, 1, 5, 2, 4]), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    shuffled = loss(*[x[order] for x in given], labels[order])
    assert torch.allclose(shuffled, loss(*given, labels))


def test_samples_of_one_label_are_not_told_from_each_other() -> None:
    loss, given = module(), batch()
    assert loss(*given, torch.zeros(7, dtype=torch.int64)) == 0
    assert loss(*given, torch.arange(7) // 2) < loss(*given)


def test_neighbours_count_and_each_network_has_those_that_its_own_answers_say() -> None:
    loss, (student, teacher, mine, theirs) = module(), batch()
    value = loss(student, teacher, mine, theirs)
    for others in ((mine.flip(0), theirs), (mine, theirs.flip(0))):
        assert abs(loss(student, teacher, *others) - value) > 1e-4


def test_gradients_are_derivatives_and_reach_all_that_is_learned_but_nothing_else() -> None:
    loss, (student, teacher, *logits) = module(temperature=1.0), batch()
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher, *logits), (student.requires_grad_(),))
    for other in (teacher, *logits):
        other.requires_grad_()
    loss(student, teacher, *logits).backward()
    assert all(other.grad is None for other in (teacher, *logits))
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in loss.parameters())


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_small_batches_and_features_without_content_stay_finite(count: int, scale: float) -> None:
    loss, given = module(neighbours=8), batch(count)
    student, *others = (scale * x for x in given)
    value = loss(student.requires_grad_(), *others)
    value.backward()
    assert value.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert value == 0 or count > 1
    if not scale and count > 1:
        assert value.item() == pytest.approx(4 * math.log(count))
