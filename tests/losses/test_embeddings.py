import math

import pytest
import torch
from torch import Tensor

from fedkd.losses import cosine, cosine_relations, supervised_contrastive
from fedkd.losses.embeddings import cosines, from_cosines


def embeddings(n: int = 7, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width: int = 5) -> Tensor:
    return torch.linalg.qr(embeddings(width, width, seed=9))[0]


WHO = torch.tensor([0, 0, 1, 2, 1, 0, 3])


def by_definition(z: Tensor, who: Tensor, temperature: float) -> list[float]:
    """Equation 2 of the paper, sample by sample and pair by pair; nothing for a sample without a partner."""
    z = z / z.norm(dim=1, keepdim=True)
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        total = math.log(sum(math.exp(float(z[i] @ z[a]) / temperature) for a in others))
        mine = [total - float(z[i] @ z[p]) / temperature for p in others if who[p] == who[i]]
        losses.append(sum(mine) / len(mine) if mine else 0.0)
    return losses


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_supervised_contrastive_loss_is_that_of_the_paper_pair_by_pair(temperature: float) -> None:
    expected = by_definition(embeddings(), WHO, temperature)
    value = supervised_contrastive(3.0 * embeddings(), WHO, temperature=temperature)
    assert float(value) == pytest.approx(sum(expected) / 5, abs=1e-8)
    each = supervised_contrastive(embeddings(), WHO, temperature=temperature, reduction="none")
    assert each.tolist() == pytest.approx([7 / 5 * loss for loss in expected], abs=1e-8)


def test_samples_of_one_person_are_pulled_together_and_others_pushed_away() -> None:
    near, far = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
    who = torch.tensor([0, 0, 1, 1])
    assert supervised_contrastive(near, who) < 0.01
    assert supervised_contrastive(far, who) > 9


@pytest.mark.parametrize("who", [[4], [0, 1, 2]])
def test_a_batch_without_partners_costs_nothing_and_has_no_gradient(who: list[int]) -> None:
    z = embeddings(len(who)).requires_grad_()
    value = supervised_contrastive(z, torch.tensor(who))
    value.backward()  # type: ignore[no-untyped-call]
    assert value == 0
    assert z.grad is not None
    assert z.grad.abs().sum() == 0


def test_relations_of_cosines_see_no_rotation_and_no_length_and_the_cosine_sees_a_rotation() -> None:
    teacher = embeddings()
    turned = teacher @ rotation() * torch.rand(7, 1, dtype=torch.float64).add(0.5)
    assert cosine_relations(turned, teacher) < 1e-20
    assert cosine_relations(embeddings(seed=1), teacher) > 0.01
    assert cosine(turned, teacher) > 0.1
    assert cosine(2.0 * teacher, teacher) < 1e-12


def test_relations_of_three_samples_by_hand() -> None:
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # cosines 0, 1, 0
    teacher = torch.tensor([[1.0], [1.0], [-1.0]])  # cosines 1, -1, -1
    assert cosine_relations(student, teacher, reduction="none").tolist() == [
        (1 + 4) / 2,
        (1 + 1) / 2,
        (4 + 1) / 2,
    ]
    assert cosine(student[:, :1], teacher, reduction="none").tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("width", [5, 9])
def test_embeddings_come_back_from_their_cosines_up_to_a_rotation(width: int) -> None:
    known = cosines(embeddings())
    found = from_cosines(known, width)
    assert found.shape == (7, width)
    assert torch.allclose(cosines(found), known, atol=1e-12)
    assert torch.allclose(found.norm(dim=1), torch.ones(7, dtype=torch.float64))
    assert torch.allclose(from_cosines(cosines(embeddings() @ rotation()), width), found, atol=1e-10)


def test_too_few_axes_keep_what_they_can_of_the_cosines() -> None:
    known = cosines(embeddings(12, 6))
    gaps = [float((cosines(from_cosines(known, width)) - known).abs().mean()) for width in (1, 3, 5, 6)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-12
