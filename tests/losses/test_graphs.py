import math

import pytest
import torch
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses import irg, lsp
from fedkd.losses.graphs import neighbour_rows


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_irg_adds_up_logits_relations_and_steps_between_layers() -> None:
    logits = [numbers(4, 3), numbers(4, 3, seed=1)]
    layers = [(numbers(4, 6, seed=2), numbers(4, 6, seed=3)), (numbers(4, 8, seed=4), numbers(4, 8, seed=5))]

    def relative(squares: Tensor) -> Tensor:
        return squares / squares.max()

    def mse(make: list[Tensor]) -> Tensor:
        return (make[0] - make[1]).square().mean()

    vertices = mse(logits)
    edges = (
        sum(mse([relative(torch.cdist(side[i], side[i]).square()) for side in layers]) for i in (0, 1)) / 2
    )
    steps = mse([relative((side[1] - side[0]).square().sum(dim=1)) for side in layers])
    value = irg(*logits, *layers)
    assert torch.allclose(value, 0.1 * vertices + 5 * edges + 5 * steps)
    assert torch.allclose(irg(*logits, *layers, edges=0.0, transitions=0.0), 0.1 * vertices)


def test_irg_pools_maps_and_takes_only_steps_that_stay_in_one_width() -> None:
    logits = numbers(4, 3)
    maps = [numbers(4, 2, 5, 5, seed=seed) for seed in (1, 2, 3, 4)]
    wide = numbers(4, 9, seed=5)
    pooled = [x.mean(dim=(2, 3)) for x in maps]
    step = irg(logits, logits, maps[:2], maps[2:], edges=0.0)
    assert step > 0
    assert torch.allclose(step, irg(logits, logits, pooled[:2], pooled[2:], edges=0.0))
    assert torch.allclose(step, irg(logits, logits, [*pooled[:2], wide], [*pooled[2:], wide], edges=0.0))


def test_relations_and_steps_of_irg_see_no_scale_however_large() -> None:
    logits = numbers(4, 3).float()
    student, teacher = [
        [numbers(4, 6, seed=seed).float(), numbers(4, 6, seed=seed + 1).float()] for seed in (1, 3)
    ]
    large = irg(logits, logits, [1e30 * layer for layer in student], [1e25 * layer for layer in teacher])
    assert torch.allclose(large, irg(logits, logits, student, teacher))


def test_irg_of_one_layer_has_no_steps() -> None:
    logits, student, teacher = numbers(4, 3), numbers(4, 6, seed=1), numbers(4, 6, seed=2)
    one = irg(logits, logits, [student], [teacher])
    assert torch.allclose(one, irg(logits, logits, [student], [teacher], transitions=0.0))


@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        ([], [], "and one at least; there are 0 and 0"),
        ([6], [6, 6], "there are 1 and 2"),
        ([6, 7], [6, 6], r"\[6, 7\] and \[6, 6\] channels"),
    ],
)
def test_irg_refuses_layers_that_do_not_go_together(
    student: list[int], teacher: list[int], words: str
) -> None:
    layers = [[numbers(4, width) for width in widths] for widths in (student, teacher)]
    with pytest.raises(IllegalCombination, match=words):
        irg(numbers(4, 3), numbers(4, 3), *layers)


def test_lsp_of_a_path_of_three_nodes_by_hand() -> None:
    student = torch.tensor([[0.0], [1.0], [3.0]])
    teacher = torch.tensor([[0.0], [2.0], [3.0]])
    path = torch.tensor([[False, True, False], [True, False, True], [False, True, False]])
    # The ends have one neighbour each; the middle one spreads its similarity over two.
    s = [math.exp(math.exp(-1.0)), math.exp(math.exp(-2.0))]
    t = [math.exp(math.exp(-2.0)), math.exp(math.exp(-1.0))]
    p, q = [x / sum(s) for x in s], [x / sum(t) for x in t]
    divergence = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    each = lsp(student, teacher, path, scale=1.0, reduction="none")
    assert each.tolist() == pytest.approx([0.0, divergence, 0.0], abs=1e-7)
    assert float(lsp(student, teacher, path, scale=1.0)) == pytest.approx(divergence / 3, abs=1e-7)


def test_lsp_without_a_graph_takes_all_others_for_neighbours_and_sees_no_shift() -> None:
    student, teacher = numbers(5, 3), numbers(5, 4, seed=1)
    complete = ~torch.eye(5, dtype=torch.bool)
    assert torch.allclose(lsp(student, teacher), lsp(student, teacher, complete))
    assert lsp(teacher + 5.0, teacher) < 1e-15


def test_a_node_without_neighbours_costs_nothing() -> None:
    alone = torch.zeros(3, 3, dtype=torch.bool)
    student = numbers(3, 2).requires_grad_()
    value = lsp(student, numbers(3, 2, seed=1), alone)
    value.backward()
    assert value == 0
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_lsp_says_the_same_of_a_graph_by_rows_of_neighbours() -> None:
    student, teacher = numbers(5, 3), numbers(5, 4, seed=1)
    rows = torch.tensor([[1, 4, -1], [0, 2, 4], [1, -1, -1], [-1, -1, -1], [0, 1, -1]])
    linked = torch.zeros(5, 5, dtype=torch.bool)
    for node, others in enumerate(rows.tolist()):
        linked[node, [other for other in others if other >= 0]] = True
    dense = lsp(student, teacher, linked, scale=2.0, reduction="none")
    assert torch.allclose(lsp(student, teacher, rows, scale=2.0, reduction="none"), dense)
    assert dense[2:4].tolist() == [0.0, 0.0]
    assert torch.autograd.gradcheck(lambda x: lsp(x, teacher, rows, scale=2.0), (student.requires_grad_(),))


def test_neighbours_are_found_among_those_of_the_batch_only() -> None:
    # node 7 knows 3 and 9, node 3 knows 7 and 5, node 9 knows 7; 5 is not in the batch
    links = torch.tensor([[7, 3, 9], [3, 5, 7], [9, 7, 9]])
    assert neighbour_rows(links).tolist() == [[1, 2], [-1, 0], [0, -1]]
    assert neighbour_rows(links[:0]).shape == (0, 2)
