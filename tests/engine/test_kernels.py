"""Kernels of many clients at once: the same numbers and gradients as PyTorch's own, laid out for the next reader."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from fedkd.engine.gradients import gathered
from fedkd.engine.kernels import stacked_kernels

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
TARGETS = torch.tensor([0, 0, 1, 0, 1])


def hidden(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return F.linear(x, weight, bias).sin().sum()


def labels(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(x, weight, bias), TARGETS % len(weight), reduction="none").sin().sum()


def soft(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return (F.log_softmax(F.linear(x, weight, bias), dim=-1) * x[:, :1]).sin().sum()


def leaves(outputs: int, *, scale: float = 1.0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = ((outputs, 7), (outputs,), (5, 7))
    return [scale * torch.randn(3, *shape, generator=draw, dtype=torch.float64) for shape in shapes]


def gradients(loss: Loss, given: list[Tensor], *, stacked: bool) -> list[Tensor]:
    def of_one(*tensors: Tensor) -> Tensor:
        if not stacked:
            return loss(*tensors)
        with stacked_kernels():
            return loss(*tensors)

    own = [tensor.clone().requires_grad_() for tensor in given]
    losses: Tensor = vmap(of_one)(*own)
    return [losses.detach(), *torch.autograd.grad(losses.sum(), own)]


@pytest.mark.parametrize("loss", [hidden, labels, soft])
@pytest.mark.parametrize("outputs", [1, 2, 10, 16, 40])
def test_values_and_gradients_are_those_of_pytorch(loss: Loss, outputs: int) -> None:
    given = leaves(outputs)
    plain = gradients(loss, given, stacked=False)
    for one, other in zip(gradients(loss, given, stacked=True), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", [labels, soft])
def test_extreme_logits_stay_finite(loss: Loss) -> None:
    given = leaves(4, scale=1e4)
    plain = gradients(loss, given, stacked=False)
    for one, other in zip(gradients(loss, given, stacked=True), plain, strict=True):
        assert bool(one.isfinite().all())
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", [hidden, labels, soft])
def test_gradients_of_gradients_are_right_too(loss: Loss) -> None:
    def sharpness(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        slope: Tensor = grad(loss)(weight, bias, x)
        return slope.square().sum()

    given = leaves(3)
    plain = gradients(sharpness, given, stacked=False)
    for one, other in zip(gradients(sharpness, given, stacked=True), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_what_all_clients_share_is_there_for_each() -> None:
    weight, bias, x = leaves(10)

    def of_one(own: Tensor) -> Tensor:
        with stacked_kernels():
            return F.linear(x[0], own, bias[0])

    torch.testing.assert_close(vmap(of_one)(weight), torch.einsum("bi,coi->cbo", x[0], weight) + bias[0])


def test_gradients_lie_as_an_optimiser_reads_them() -> None:
    for outputs in (10, 40):
        _, to_weight, to_bias, to_x = gradients(hidden, leaves(outputs), stacked=True)
        assert to_weight.is_contiguous()
        assert to_bias.is_contiguous()
        assert to_x.is_contiguous()


def test_options_that_are_not_done_here_are_pytorchs() -> None:
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 2, -100, 1])
    expected = F.cross_entropy(x, y, label_smoothing=0.1), F.log_softmax(x, dim=0), F.linear(x, x)
    with stacked_kernels():
        said = F.cross_entropy(x, y, label_smoothing=0.1), F.log_softmax(x, dim=0), F.linear(x, x)
    assert all(torch.equal(one, other) for one, other in zip(said, expected, strict=True))


def test_gathered_rows_are_those_of_plain_indexing() -> None:
    rows, at = torch.randn(9, 3, 2), torch.tensor([[8, 0, 8], [1, 2, 3]])
    assert torch.equal(gathered(rows, at), rows[at])
    assert torch.equal(gathered(rows[:, 0, 0], at), rows[:, 0, 0][at])
