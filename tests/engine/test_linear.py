"""Narrow linear layers of many clients: the same numbers by products with the weights on the left."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap

from fedkd.engine.gradients import gathered
from fedkd.engine.linear import narrow_layers


def gradients(weights: Tensor, biases: Tensor, inputs: Tensor, *, narrow: bool) -> tuple[Tensor, ...]:
    def of_one(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        if not narrow:
            return F.linear(x, weight, bias).sin().sum()
        with narrow_layers():
            return F.linear(x, weight, bias).sin().sum()

    leaves = [tensor.clone().requires_grad_() for tensor in (weights, biases, inputs)]
    losses: Tensor = vmap(of_one)(*leaves)
    return losses.detach(), *torch.autograd.grad(losses.sum(), leaves)


@pytest.mark.parametrize("outputs", [1, 10, 16, 40])
def test_values_and_gradients_are_those_of_a_linear_layer(outputs: int) -> None:
    draw = torch.Generator().manual_seed(0)
    weights, biases, inputs = (
        torch.randn(3, *shape, generator=draw, dtype=torch.float64)
        for shape in ((outputs, 7), (outputs,), (5, 7))
    )
    plain = gradients(weights, biases, inputs, narrow=False)
    for one, other in zip(gradients(weights, biases, inputs, narrow=True), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_only_narrow_layers_of_flat_batches_with_a_bias_are_done_otherwise() -> None:
    draw = torch.Generator().manual_seed(0)
    with narrow_layers():
        flat = F.linear(torch.randn(5, 7, generator=draw), torch.randn(2, 7, generator=draw), torch.zeros(2))
        wide = F.linear(torch.randn(5, 7), torch.randn(17, 7), torch.zeros(17))
        deep = F.linear(torch.randn(4, 5, 7), torch.randn(2, 7), torch.zeros(2))
        bare = F.linear(torch.randn(5, 7), torch.randn(2, 7))
    assert flat.stride() == (1, 5)  # what a product with the weights on the left leaves
    assert [tensor.is_contiguous() for tensor in (wide, deep, bare)] == [True] * 3


def test_gathered_rows_are_those_of_plain_indexing() -> None:
    rows, at = torch.randn(9, 3, 2), torch.tensor([[8, 0, 8], [1, 2, 3]])
    assert torch.equal(gathered(rows, at), rows[at])
    assert torch.equal(gathered(rows[:, 0, 0], at), rows[:, 0, 0][at])
