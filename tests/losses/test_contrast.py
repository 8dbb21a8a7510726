import pytest
import torch
from torch import Tensor

from fedkd.foundation.seeding import Streams
from fedkd.losses import CRD


def module(**options: object) -> CRD:
    with Streams(0).initialising("test"):
        return CRD((4,), (2, 3, 3), **{"samples": 20, "negatives": 8, "width": 16, **options})  # type: ignore[arg-type]


def batch(rows: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(3)
    student, teacher = torch.randn(20, 4, generator=drawn), torch.randn(20, 2, 3, 3, generator=drawn)
    return student[rows], teacher[rows], torch.tensor(rows)


def test_negatives_are_other_samples_and_the_generator_decides_which() -> None:
    loss = module()
    rows = torch.arange(20)
    drawn = loss.draw(rows, torch.Generator().manual_seed(0))
    assert drawn.shape == (20, 8)
    assert (drawn != rows[:, None]).all()
    assert set(drawn.flatten().tolist()) == set(range(20))
    assert torch.equal(drawn, loss.draw(rows, torch.Generator().manual_seed(0)))
    assert module(negatives=100).negatives == 19


def test_the_memory_is_read_before_it_moves_and_only_that_of_the_batch_moves() -> None:
    loss = module()
    before = loss.student_memory.clone()
    student, teacher, rows = batch([1, 5])
    negatives = loss.draw(rows, torch.Generator().manual_seed(0))
    first = loss(student, teacher, rows, negatives)
    moved = (loss.student_memory != before).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [1, 5]
    embedding = torch.nn.functional.normalize(loss.student(student))
    expected = torch.nn.functional.normalize(0.5 * before[rows] + 0.5 * embedding)
    assert torch.allclose(loss.student_memory[rows], expected)
    # Had it been moved first, its own place would be nearer and the loss smaller.
    assert loss(student, teacher, rows, negatives) < first


def test_z_stays_as_the_first_batch_made_it() -> None:
    loss = module()
    generator = torch.Generator().manual_seed(0)
    for rows in ([0, 1, 2], [3, 4]):
        student, teacher, at = batch(rows)
        loss(student, teacher, at, loss.draw(at, generator))
        if rows[0] == 0:
            fixed = loss.student_log_z.clone(), loss.teacher_log_z.clone()
    assert loss.student_log_z == fixed[0]
    assert loss.teacher_log_z == fixed[1]
    assert loss.student_log_z.isfinite()


def test_evaluation_remembers_nothing() -> None:
    loss = module().eval()
    before = loss.teacher_memory.clone()
    student, teacher, rows = batch([2])
    loss(student, teacher, rows, loss.draw(rows, torch.Generator().manual_seed(0)))
    assert torch.equal(loss.teacher_memory, before)


def test_training_brings_embeddings_of_one_sample_together() -> None:
    loss = module(temperature=0.2)
    student, teacher, rows = batch(list(range(20)))
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss(student, teacher, rows, loss.draw(rows, generator)).backward()
        optimizer.step()
    mine = torch.nn.functional.normalize(loss.student(student))
    theirs = torch.nn.functional.normalize(loss.teacher(teacher.flatten(1)))
    nearest = (mine @ theirs.T).argmax(dim=1)
    assert (nearest == rows).float().mean() > 0.7


@pytest.mark.parametrize("rows", [[7], [0, 19]])
def test_gradients_reach_both_embeddings(rows: list[int]) -> None:
    loss = module()
    student, teacher, at = batch(rows)
    loss(student, teacher, at, loss.draw(at, torch.Generator().manual_seed(0))).backward()
    for embedding in (loss.student, loss.teacher):
        assert embedding.weight.grad is not None
        assert embedding.weight.grad.abs().sum() > 0
