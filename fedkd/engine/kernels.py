"""Kernels of many clients at once: the same functions as PyTorch's, laid out for stacks of small networks.

Under `vmap` a linear layer is a batch of matrix products, one for each client, forward and backward. PyTorch makes some of them
of operands that lie crosswise, so that what comes after (the gradient of a ReLU, the step of an optimiser) reads memory against
the grain; and its softmax over a last axis of ten classes is mostly overhead. Here every product leaves what the next reader
expects, and a softmax goes along whichever axis is long.

>>> with stacked_kernels():
...     vmap(of_one_client)(weights, inputs)
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

_NARROW = 16
"""Outputs up to which a layer is narrow: heads of classifiers with about ten classes are; where it begins to pay was not measured."""


def _stacks(info: Any, in_dims: Sequence[int | None], *tensors: Tensor) -> list[Tensor]:
    """Return tensors of `vmap` with the clients in front; what all clients share is there for each."""
    return [
        tensor.movedim(dim, 0) if dim is not None else tensor.expand(info.batch_size, *tensor.shape)
        for tensor, dim in zip(tensors, in_dims, strict=True)
    ]


def _applied(function: type[Function], *tensors: Tensor) -> Tensor:
    said: Tensor = function.apply(*tensors)  # type: ignore[no-untyped-call]
    return said


class _Linear(Function):
    """`x W^T + b` of rows [..., rows, inputs], weights [..., outputs, inputs] and biases [..., outputs], with or without clients in front."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if weight.shape[-2] > _NARROW:
            return (x @ weight.mT).add_(bias[..., None, :])
        # The long side, that of the rows, is the one along which a product with few outputs is quick.
        return (weight @ x.mT).add_(bias[..., None]).mT

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        [given] = upstream
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            given @ weight if to_x else None,
            given.mT @ x if to_weight else None,
            given.sum(dim=-2) if to_bias else None,
        )

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *tensors: Tensor) -> tuple[Tensor, int]:
        return _applied(_Linear, *_stacks(info, in_dims, *tensors)), 0


class _LogSoftmax(Function):
    """The logarithm of the softmax over the last axis, however the numbers lie."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        less = x - x.amax(dim=-1, keepdim=True)
        return less.sub_(less.exp().sum(dim=-1, keepdim=True).log_())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        del inputs
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        [given] = upstream
        said: Tensor = ctx.saved_tensors[0]
        return given - said.exp() * given.sum(dim=-1, keepdim=True)

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], x: Tensor) -> tuple[Tensor, int]:
        return _applied(_LogSoftmax, *_stacks(info, in_dims, x)), 0


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if bias is None or x.ndim != 2 or torch.is_autocast_enabled(x.device.type):
        return F.linear(x, weight, bias)
    return _applied(_Linear, x, weight, bias)


def _log_softmax(
    x: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    if x.ndim != 2 or dim not in (-1, 1) or dtype is not None:
        return F.log_softmax(x, dim, _stacklevel, dtype)
    return _applied(_LogSoftmax, x)


def _cross_entropy(x: Tensor, targets: Tensor, **options: Any) -> Tensor:
    plain = all(options.get(name, usual) == usual for name, usual in _PLAIN.items())
    if x.ndim != 2 or targets.ndim != 1 or not plain:
        return F.cross_entropy(x, targets, **options)
    return -_applied(_LogSoftmax, x).gather(-1, targets[:, None])[:, 0]


_PLAIN = {
    "weight": None,
    "size_average": None,
    "ignore_index": -100,
    "reduce": None,
    "reduction": "none",
    "label_smoothing": 0.0,
}
"""Options of the cross-entropy that is done here: of each sample, of classes that are there."""

_KERNELS: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    F.linear: _linear,
    F.log_softmax: _log_softmax,
    F.cross_entropy: _cross_entropy,
}


class _Stacked(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        chosen: Callable[..., Any] = _KERNELS.get(func, func)
        return chosen(*args, **(kwargs or {}))


def stacked_kernels() -> AbstractContextManager[Any]:
    """Return a context in which linear layers of batches [batch, inputs], and softmax and cross-entropy of [batch, classes], are done for stacks."""
    return _Stacked()
