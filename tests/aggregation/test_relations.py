import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.fusions.mean_relations import MeanRelations
from fedkd.losses.embeddings import cosines

FUSION = MeanRelations()


def teachers(count: int = 4, n: int = 9, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(count, n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def alike(count: int, n: int = 9) -> Tensor:
    return torch.full((count, n), 1.0 / count, dtype=torch.float64)


def rotations(count: int, width: int, seed: int) -> Tensor:
    return torch.linalg.qr(teachers(count, width, width, seed))[0]


@given(seed=st.integers(0, 99), width=st.integers(2, 6), count=st.integers(1, 4))
def test_a_rotation_of_any_teacher_changes_nothing(seed: int, width: int, count: int) -> None:
    said = teachers(count, width=width, seed=seed)
    turned = 3.0 * said @ rotations(count, width, seed + 1)
    fused, again = FUSION.fuse(said, alike(count)), FUSION.fuse(turned, alike(count))
    assert torch.allclose(cosines(fused), cosines(again), atol=1e-6)


def test_the_mean_of_embeddings_of_turned_teachers_is_worthless_and_that_of_relations_is_exact() -> None:
    said = teachers(1).repeat(4, 1, 1) @ rotations(4, 5, seed=3)
    weights = alike(4)
    known = cosines(said[0])
    assert torch.allclose(cosines(FUSION.fuse(said, weights)), known, atol=1e-10)
    assert (cosines(MeanLogits().fuse(said, weights)) - known).abs().mean() > 0.1


def test_where_there_are_axes_enough_the_cosines_are_the_weighted_mean_of_the_teachers() -> None:
    said = torch.nn.functional.pad(teachers(3, n=5, width=3), (0, 2))
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    fused = FUSION.fuse(said, weights[:, None].expand(3, 5))
    expected = sum(weight * cosines(one) for weight, one in zip(weights, said, strict=True))
    assert torch.allclose(cosines(fused), expected, atol=1e-10)


def test_a_pair_is_judged_by_those_who_have_seen_both_samples() -> None:
    first = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [9.0, 9.0, 9.0]], dtype=torch.float64)
    second = torch.tensor(
        [[9.0, 9.0, 9.0], [0.0, 1.0, 0.0], [0.0, 0.5, math.sqrt(0.75)]], dtype=torch.float64
    )
    weights = torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.7, 1.0]], dtype=torch.float64)
    fused = cosines(FUSION.fuse(torch.stack([first, second]), weights))
    # nobody has seen the first and the last one
    expected = torch.tensor([[1.0, 0.6, 0.0], [0.6, 1.0, 0.5], [0.0, 0.5, 1.0]], dtype=torch.float64)
    assert torch.allclose(fused, expected, atol=1e-10)


def test_extreme_and_silent_teachers_give_finite_embeddings_of_length_one_or_zero() -> None:
    for said in (1e30 * teachers(2), 0.0 * teachers(2), teachers(2, n=1)):
        fused = FUSION.fuse(said, alike(2, said.shape[1]))
        assert fused.isfinite().all()
        assert ((fused.norm(dim=1) - 1).abs() < 1e-9).all() or (fused == 0).all()
