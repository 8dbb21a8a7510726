"""The precision in which networks are run: float32, or bfloat16 for what gains by it.

>>> with in_precision("bfloat16", "cpu"):
...     outputs = run_network(network, inputs)
"""

import contextlib
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]
"""Of forward and backward passes; weights, optimisers and losses stay in float32."""


def in_precision(precision: Precision, device_type: str) -> contextlib.AbstractContextManager[object]:
    """Return a context in which products and convolutions are computed in this precision."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device_type, dtype=torch.bfloat16, cache_enabled=False)


def laid_out(x: Tensor) -> Tensor:
    """Return images with their channels last, everything else as it is."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
