import pytest
import torch
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses import Amalgamation


def fixed(loss: Amalgamation, value: float) -> Amalgamation:
    """Give all weights one value, and no bias."""
    with torch.no_grad():
        for name, weight in loss.named_parameters():
            weight.fill_(0.0 if name.endswith("bias") else value)
    return loss.double()


def layers(*widths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, width, generator=generator, dtype=torch.float64) for width in widths]


def test_the_loss_of_two_teachers_by_hand() -> None:
    loss = fixed(Amalgamation((1,), [(1,), (2,)], rebuilding=0.5), 0.5)
    student = torch.tensor([[4.0]], dtype=torch.float64)
    one = torch.tensor([[1.0]], dtype=torch.float64)
    other = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
    # the code is (1 + 2 + 3) / 2 = 3, the student's image 2, and each number is rebuilt as 1.5
    expected = (2.0 - 3.0) ** 2 + 0.5 * ((1.5 - 1.0) ** 2 + ((1.5 - 2.0) ** 2 + (1.5 - 3.0) ** 2) / 2)
    assert loss(student, [one, other]).item() == pytest.approx(expected)


def test_the_mean_is_that_of_the_samples_own_values_and_the_order_of_equal_teachers_does_not_matter() -> None:
    student, one, other = layers(3, 4, 4)
    loss = fixed(Amalgamation((3,), [(4,), (4,)]), 0.1)
    each = loss(student, [one, other], reduction="none")
    assert each.shape == (6,)
    assert loss(student, [one, other]).item() == pytest.approx(each.mean().item())
    assert loss(student, [other, one]).item() == pytest.approx(each.mean().item())


def test_the_code_is_held_by_the_teachers_and_only_the_student_follows() -> None:
    student, one, other = (layer.requires_grad_() for layer in layers(3, 4, 5))
    loss = Amalgamation((3,), [(4,), (5,)], rebuilding=0.0).double()
    loss(student, [one, other]).backward()
    assert student.grad is not None
    assert one.grad is None
    assert other.grad is None
    encoder = [weight.grad for weight in loss.encoder.parameters()]
    assert all(grad is None or not grad.any() for grad in encoder)
    assert all(weight.grad is not None and weight.grad.any() for weight in loss.adapter.parameters())
    assert torch.autograd.gradcheck(lambda x: loss(x, [one.detach(), other.detach()]), (student,))


def test_from_the_students_side_both_teachers_can_be_rebuilt_once_it_is_learned() -> None:
    torch.manual_seed(0)
    seen = torch.randn(256, 3)
    one, other = seen @ torch.randn(3, 6), seen @ torch.randn(3, 8)
    loss = Amalgamation((3,), [(6,), (8,)])
    mine = torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam([*mine.parameters(), *loss.parameters()], lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        loss(mine(seen), [one, other]).backward()
        optimizer.step()
    rebuilt = loss.decoder(loss.adapter(mine(seen))).split([6, 8], dim=1)
    for made, true in zip(rebuilt, (one, other), strict=True):
        assert (made - true).square().mean().item() < 1e-4 * true.square().mean().item()


def test_maps_of_the_student_may_be_of_another_size_and_those_of_teachers_may_not() -> None:
    loss = Amalgamation((2, 8, 8), [(3, 4, 4), (5, 4, 4)])
    value = loss(torch.randn(2, 2, 8, 8), [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)])
    assert value.isfinite()
    with pytest.raises(
        IllegalCombination, match=r"shapes \[3, 4, 4\], \[5\] do not lie side by side; tap vectors of all"
    ):
        Amalgamation((2, 8, 8), [(3, 4, 4), (5,)])
    with pytest.raises(IllegalCombination, match="no regressor leads from features"):
        Amalgamation((2,), [(3, 4, 4), (5, 4, 4)])
