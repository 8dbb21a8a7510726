import pytest
import torch
from torch import Tensor

from fedkd.losses import Experts, de


def parts() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((6, 3, 4), (6, 3), (6, 4))
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)  # type: ignore[return-value]


def test_the_loss_of_two_experts_by_hand() -> None:
    rebuilt = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)
    chances = torch.tensor([[0.75, 0.25]], dtype=torch.float64).log()
    teacher = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    # .75 (1, 0) + .25 (0, 2) = (.75, .5)
    assert float(de(rebuilt, chances, teacher)) == pytest.approx(0.25**2 + 0.5**2)
    # at temperature 1/2 the shares are squared: .9 and .1
    assert float(de(rebuilt, chances, teacher, temperature=0.5)) == pytest.approx(0.1**2 + 0.8**2)


def test_at_a_low_temperature_one_expert_is_drawn_by_its_chance() -> None:
    count = 4000
    rebuilt = torch.eye(3, dtype=torch.float64).expand(count, 3, 3)
    chances = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log().expand(count, 3)
    uniform = torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = -(-uniform.log()).log()
    share = ((chances + noise) / 1e-3).softmax(dim=1)
    assert torch.allclose(share.mean(dim=0), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), atol=0.03)
    # a one-hot choice is as far from (1, 0, 0) as 0 where it is the first, and as the square of root 2 elsewhere
    first = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64).expand(count, 3)
    value = float(de(rebuilt, chances, first, noise=noise, temperature=1e-3))
    assert value == pytest.approx(2 * 0.5, abs=0.05)


def test_the_gradient_reaches_experts_and_choice_and_not_the_teacher() -> None:
    rebuilt, chances, teacher = (x.requires_grad_() for x in parts())
    assert torch.autograd.gradcheck(lambda a, b: de(a, b, teacher.detach()), (rebuilt, chances))
    de(rebuilt, chances, teacher).backward()
    assert teacher.grad is None


def test_the_temperature_falls_by_the_same_factor_with_each_batch_and_stays_at_its_end() -> None:
    experts = Experts(3, 4, count=2, temperature=(1.0, 0.01), batches=4)
    student, teacher = torch.randn(5, 3), torch.randn(5, 4)
    found = []
    for _ in range(6):
        found.append(experts.temperature)
        experts(student, teacher, generator=torch.Generator().manual_seed(0))
    assert found == pytest.approx([1.0, 10**-0.5, 0.1, 10**-1.5, 0.01, 0.01])


def test_experts_learn_to_rebuild_what_the_teacher_has_of_two_kinds_of_users() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    student = torch.randn(256, 3, generator=generator)
    kind = torch.rand(256, generator=generator) < 0.5
    teacher = torch.where(
        kind[:, None], student @ torch.randn(3, 6, generator=generator), 5.0 + 0 * student[:, :1]
    )
    experts = Experts(3, 6, count=4, batches=300)
    optimizer = torch.optim.Adam(experts.parameters(), lr=0.02)
    losses = []
    for _ in range(300):
        loss = experts(student, teacher, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
