"""Compiled steps: a cohort's step is traced once for each form of its tensors, and PyTorch's compiler makes one kernel of many.

What a trace looks like depends on the shapes alone, never on what a process has seen before, so bits do not either. To keep
the forms few, cohorts are filled up to `rung` clients.

>>> gradients, losses = compiled(loss, given)
"""

import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import cast

import torch
import torch.fx.experimental._config as shapes
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from fedkd.engine.gradients import Batches, ClientLoss, Tensors

_LOG = logging.getLogger(__name__)

_STACKED = frozenset({"at", "said", "share", "pairs"})
"""What of a batch has a slice for each client; the other arrays are shared by all."""

_MOST = 64
"""Compiled steps that a process keeps."""

_STEP = Callable[[dict[str, Tensors]], tuple[Tensors, Tensor]]
_COMPILED: OrderedDict[Hashable, _STEP] = OrderedDict()


def rung(clients: int, active: int) -> int:
    """Return how many clients a compiled step of a cohort computes: it is halved as clients finish.

    Args:
        clients: of the cohort.
        active: those that still train.
    """
    size = -(-clients // 4) * 4
    while size % 8 == 0 and active <= size // 2:
        size //= 2
    return size


def compiled(loss: ClientLoss, given: Batches) -> tuple[Tensors, Tensor]:
    """Return what `loss.gradients(given)` does, to float tolerance; the first call of each form takes seconds.

    What the compiler refuses is run as it is, with a line in the log.
    """
    groups = given.groups()
    shared = {id(tensor): tensor for tensor in _shared(groups)}
    if any(len(tensor) < 2 for tensor in shared.values()):  # the compiler takes a length of 1 for a constant
        return loss.gradients(given)
    form = tuple(
        (
            name,
            tensor.shape[1:] if id(tensor) in shared else tensor.shape,
            tensor.stride(),
            tensor.dtype,
            tensor.device,
        )
        for tensors in groups.values()
        for name, tensor in tensors.items()
    )
    key = (loss, form)
    try:
        step = _COMPILED.get(key)
    except TypeError:  # a loss that cannot be told from others would be compiled again and again
        return loss.gradients(given)
    if step is None:
        step = _COMPILED[key] = _compile(loss, groups)
        while len(_COMPILED) > _MOST:
            _COMPILED.popitem(last=False)
    _COMPILED.move_to_end(key)
    return _called(step, groups)


def _compile(loss: ClientLoss, groups: dict[str, Tensors]) -> _STEP:
    def step(groups: dict[str, Tensors]) -> tuple[Tensors, Tensor]:
        with torch.enable_grad():
            return loss.gradients(Batches(**groups))

    try:
        # By default the compiler generalises once it has seen a second shape, and takes lengths that are equal once to be so
        # for ever: what it makes would depend on the past. And its own imports warn of what it uses itself.
        with (
            torch._dynamo.config.patch(automatic_dynamic_shapes=False),  # noqa: SLF001  (documented, whatever its name)
            shapes.patch(use_duck_shape=False),  # type: ignore[attr-defined]
            warnings.catch_warnings(action="ignore"),
        ):
            made = cast("_STEP", torch.compile(make_fx(step)(groups)))
            _called(made, groups)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever the compiler cannot do, the step can be run as it is)
        _LOG.warning("a step is run without compiling it, since: %s", " ".join(str(error).split())[:300])
        return step
    return made


def _called(step: _STEP, groups: dict[str, Tensors]) -> tuple[Tensors, Tensor]:
    for tensor in _shared(groups):
        torch._dynamo.mark_dynamic(tensor, 0)  # noqa: SLF001
    with torch.no_grad():
        return step(groups)


def _shared(groups: dict[str, Tensors]) -> list[Tensor]:
    """Return the arrays whose number of rows may be any."""
    named = [*groups["inputs"].items(), *groups["public"].items(), *groups["batch"].items()]
    return [tensor for name, tensor in named if name not in _STACKED]
