import math

import pytest
import torch
from torch import Tensor, nn

from fedkd.foundation.seeding import Streams
from fedkd.losses import GCRD


def module(**options: float) -> GCRD:
    with Streams(0).initialising("test"):
        return GCRD((4,), (2, 3), width=8, **options).double()  # type: ignore[arg-type]


def nodes(count: int = 7) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(3)
    student = torch.randn(count, 4, generator=drawn, dtype=torch.float64)
    return student, torch.randn(count, 2, 3, generator=drawn, dtype=torch.float64)


def test_a_graph_of_two_nodes_by_hand() -> None:
    loss = GCRD((2,), (2,), width=2, temperature=0.5).double()
    for head in (loss.student, loss.teacher):
        linear = head[0]
        assert isinstance(linear, nn.Linear)
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    student = torch.tensor([[1.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    teacher = torch.tensor([[9.0, -1.0], [3.0, -2.0]], dtype=torch.float64)
    # Normalised over two nodes a number is 1 or -1, less for the 1e-5 below the root; ReLU leaves the 1. So the student's nodes are
    # the two axes; the teacher's first is the diagonal, its second nothing.
    spread = [math.sqrt(s / (s + 1e-5)) for s in (9.0, 0.25)]
    diagonal = spread[0] / math.hypot(*spread), spread[1] / math.hypot(*spread)
    first = math.log(math.exp(diagonal[0] / 0.5) + 1) - diagonal[0] / 0.5
    second = math.log(math.exp(diagonal[1] / 0.5) + 1)
    each = loss(student, teacher, reduction="none")
    assert each.tolist() == pytest.approx([first, second], abs=1e-12)
    assert loss(student, teacher).item() == pytest.approx((first + second) / 2, abs=1e-12)


def test_the_order_of_nodes_does_not_matter() -> None:
    loss, (student, teacher) = module(), nodes()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert torch.allclose(loss(student[order], teacher[order]), loss(student, teacher))


def test_gradients_are_derivatives_and_reach_both_heads_but_not_the_teacher() -> None:
    loss, (student, teacher) = module(temperature=1.0), nodes()
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher), (student.requires_grad_(),))
    loss(student, teacher.requires_grad_()).backward()
    assert teacher.grad is None
    for head in (loss.student, loss.teacher):
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in head.parameters())


@pytest.mark.parametrize(("count", "scale"), [(1, 1.0), (1, 0.0), (7, 0.0), (7, 1e4), (0, 1.0)])
def test_single_nodes_and_features_without_content_stay_finite(count: int, scale: float) -> None:
    loss, (student, teacher) = module(), nodes(count)
    student = (scale * student).requires_grad_()
    value = loss(student, scale * teacher)
    value.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    if count < 2:
        assert value == 0
    elif not scale:
        assert value.item() == pytest.approx(math.log(7))
    else:
        assert value.isfinite()


def test_training_brings_embeddings_of_one_node_together() -> None:
    loss, (student, teacher) = module(), nodes(12)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.02)
    before = loss(student, teacher).item()
    for _ in range(40):
        optimizer.zero_grad()
        loss(student, teacher).backward()
        optimizer.step()
    assert loss(student, teacher).item() < 0.3 * before
