"""Narrow linear layers of many clients at once: the same products, with the weights on the left.

Under `vmap` a linear layer is a batch of matrix products, one for each client. With few outputs, such as ten classes, the
products of forward and backward pass that PyTorch makes of it have one side of ten, which its kernels are slow at; with the
weights on the left the long side is the one that they go along.

>>> with narrow_layers():
...     vmap(of_one_client)(weights, inputs)
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

_NARROW = 16
"""Outputs up to which a layer is narrow: heads of classifiers with about ten classes are; where it begins to pay was not measured."""


class _WeightsFirst(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        if func is F.linear and not kwargs and len(args) == 3:
            x, weight, bias = args
            if bias is not None and x.ndim == 2 and len(weight) <= _NARROW:
                return torch.addmm(bias[:, None], weight, x.t()).t()
        return func(*args, **(kwargs or {}))


def narrow_layers() -> AbstractContextManager[Any]:
    """Return a context in which linear layers of batches [batch, inputs] with few outputs have their weights on the left."""
    return _WeightsFirst()
