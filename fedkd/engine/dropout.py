"""Dropout whose draws belong to a client: neither grouping, nor order, nor process changes them.

PyTorch's dropout draws from a generator that all share. Here every call of it, by a module or a function, draws from a
stream of the client's own, in the sequential and the vectorised engine alike.

>>> with drawing(generator):
...     network(inputs)
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BY_CHANNEL = frozenset({F.dropout1d, F.dropout2d, F.dropout3d, F.feature_alpha_dropout})
_ALPHA_FORMS = frozenset({F.alpha_dropout, F.feature_alpha_dropout})
_FORMS = _BY_CHANNEL | _ALPHA_FORMS | {F.dropout}
_ALPHA = -1.7580993408473766
"""What alpha dropout sets a dropped activation to: -lambda alpha of SELU (Klambauer et al., 2017, section 3)."""


@dataclass(frozen=True)
class Call:
    """One call of dropout in a forward pass: the function, its probability, and the shape of its input."""

    function: Callable[..., Tensor]
    p: float
    shape: tuple[int, ...]

    def draw(self, generator: torch.Generator) -> Tensor:
        """Return what is kept, as 0 and 1, in a shape that can be multiplied with the input."""
        kept = 2 if self.function in _BY_CHANNEL else len(self.shape)
        shape = (*self.shape[:kept], *(1,) * (len(self.shape) - kept))
        odds = torch.full(shape, 1.0 - self.p)
        return odds.bernoulli(generator=generator)

    def apply(self, x: Tensor, kept: Tensor) -> Tensor:
        """Return the input without what is dropped, scaled so that its mean stays."""
        keep = 1.0 - self.p
        if self.function not in _ALPHA_FORMS:
            return x * (kept.to(x) / keep) if keep else x * 0.0
        scale = 1.0 / math.sqrt(keep + _ALPHA**2 * keep * (1.0 - keep))
        kept = kept.to(x)
        return scale * (x * kept + _ALPHA * (1.0 - kept)) - scale * _ALPHA * (1.0 - keep)


class _OnDropout(TorchFunctionMode):
    """Hands every call of dropout in training mode to a function, and lets everything else be."""

    def __init__(self, instead: Callable[[Call, Tensor], Tensor]) -> None:
        super().__init__()
        self._instead = instead

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func not in _FORMS:
            return func(*args, **kwargs)
        given = inspect.signature(func).bind(*args, **kwargs)
        given.apply_defaults()
        x, p = given.arguments["input"], float(given.arguments["p"])
        if not given.arguments["training"] or p == 0.0:
            return x
        return self._instead(Call(func, p, tuple(x.shape)), x)


def drawing(generator: torch.Generator) -> AbstractContextManager[object]:
    """Return a context in which dropout draws from a generator of one's own."""
    return _OnDropout(lambda call, x: call.apply(x, call.draw(generator)))


def playing(kept: Sequence[tuple[Call, Tensor]]) -> AbstractContextManager[object]:
    """Return a context in which the calls of dropout use, one after the other, what was drawn before."""
    rest = iter(kept)

    def instead(_: Call, x: Tensor) -> Tensor:
        call, drawn = next(rest)
        return call.apply(x, drawn)

    return _OnDropout(instead)


def calls_in(forward: Callable[[], object]) -> tuple[Call, ...]:
    """Return every call of dropout in training mode that a forward pass makes, in order."""
    found: list[Call] = []

    def instead(call: Call, x: Tensor) -> Tensor:
        found.append(call)
        return x

    with torch.no_grad(), _OnDropout(instead):
        forward()
    return tuple(found)
