"""Recorded steps: a cohort's step is taken down once for each form of its tensors, and played from then on.

What PyTorch does for a step of small networks under `vmap` is mostly Python: hooks, modes, wrappers, a graph of gradients that is
built and torn down. The operations at the bottom of all this are the same in every step of one form. They are recorded as
they pass, and playing them does the same arithmetic in the same order, to the bit, without the rest.

>>> gradients, losses = played(loss, given)
"""

import inspect
import logging
import operator
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from fedkd.engine.compiling import Play, compiled
from fedkd.engine.gradients import Batches, ClientLoss, Tensors

_LOG = logging.getLogger(__name__)

_PATIENCE = 2
"""Steps of a form that are run as they are, since recording one takes time itself and many forms never come again."""

_MOST = 128
"""Forms that a process remembers."""

_READS = frozenset(
    {
        torch.ops.aten._local_scalar_dense.default,  # noqa: SLF001  (its name)
        torch.ops.aten.equal.default,
        torch.ops.aten.is_nonzero.default,
    }
)
"""Operations by which Python learns what is in a tensor, and may go another way the next time."""

_VIEWS = frozenset(
    {
        torch.ops.aten.detach.default,
        torch.ops.aten.expand.default,
        torch.ops.aten.permute.default,
        torch.ops.aten.view.default,
        torch.ops.aten._unsafe_view.default,  # noqa: SLF001  (its name)
    }
)
"""Operations that copy nothing; many of them show a tensor just as it is, which need not be said."""

_STEP = Callable[[Batches], tuple[Tensors, Tensor]]
_REMEMBERED: OrderedDict[Hashable, int | _STEP | None] = OrderedDict()
"""For each form how often it was seen, then its recording, or nothing if it cannot be recorded."""


def played(loss: ClientLoss, given: Batches, *, compiles: bool = False) -> tuple[Tensors, Tensor]:
    """Return what `loss.gradients(given)` does, to the bit; from the third step of a form on from a recording.

    Args:
        loss: of a step.
        given: all that it looks at.
        compiles: whether recordings are compiled, from the first step of a form on; then it is the same to float tolerance only.
    """
    if not _lasts(loss.loss) or (compiles and any(len(pool) < 2 for pool in given.pools())):
        return loss.gradients(given)  # the compiler takes a length of 1 for a constant
    key = (loss, compiles, given.form())
    try:
        known = _REMEMBERED.get(key, 0)
    except TypeError:  # a strategy that cannot be told from others
        return loss.gradients(given)
    if isinstance(known, int):
        known = known + 1 if known < _PATIENCE and not compiles else _record(loss, given, compiles=compiles)
        _REMEMBERED[key] = known
        while len(_REMEMBERED) > _MOST:
            _REMEMBERED.popitem(last=False)
    _REMEMBERED.move_to_end(key)
    if known is None or isinstance(known, int):
        return loss.gradients(given)
    return known(given)


def _lasts(loss: Callable[..., Tensor]) -> bool:
    """Return whether a loss is the same thing in later rounds: a method or a function, not what a round made with its own values inside."""
    return inspect.ismethod(loss) or (inspect.isfunction(loss) and loss.__closure__ is None)


class _Unrecordable(Exception):
    """A step that may be another one the next time."""


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down every operation below autograd and `vmap`.

    Args:
        inputs: the tensors that differ from step to step.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self._alive = list(inputs)  # a tensor that is gone could leave its identity to another
        self._nodes = {id(tensor): self.graph.placeholder(f"x{place}") for place, tensor in enumerate(inputs)}
        if len(self._nodes) < len(inputs):
            raise _Unrecordable("two of its tensors are one")
        self.constants = torch.nn.Module()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that the compiler, whose import takes long, need not be told to keep away: it never sees this."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if func in _READS:
            raise _Unrecordable("Python looks into a tensor")
        if func is torch.ops.aten.lift_fresh.default and id(args[0]) not in self._nodes:
            self._keep(args[0])
        said = func(*args, **(kwargs or {}))
        if func in _VIEWS and _is_as(said, args[0]):
            self._name(said, self.node(args[0]))
            return said
        node = self.graph.call_function(func, tree_map(self.node, args), tree_map(self.node, kwargs or {}))
        if isinstance(said, Tensor):
            self._name(said, node)
        elif isinstance(said, tuple | list):
            for place, one in enumerate(said):
                if isinstance(one, Tensor):
                    self._name(one, self.graph.call_function(operator.getitem, (node, place)))
        return said

    def node(self, value: Any) -> Any:
        """Return the name of a tensor, and anything else as it is."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._nodes:
            raise _Unrecordable("it looks at a tensor from elsewhere")
        return self._nodes[id(value)]

    def _name(self, tensor: Tensor, node: fx.Node) -> None:
        self._alive.append(tensor)
        self._nodes[id(tensor)] = node

    def _keep(self, tensor: Tensor) -> None:
        """Take a tensor that Python made of numbers for a constant, which each step gets anew."""
        name = f"constant{len(self._alive)}"
        self.constants.register_buffer(name, tensor.clone())
        kept = self.graph.get_attr(name)
        self._name(tensor, self.graph.call_function(torch.ops.aten.clone.default, (kept,)))


def _is_as(one: Tensor, other: Tensor) -> bool:
    return (
        one.shape == other.shape
        and one.stride() == other.stride()
        and one.storage_offset() == other.storage_offset()
    )


def _record(loss: ClientLoss, given: Batches, *, compiles: bool) -> _STEP | None:
    """Return a step's recording, or nothing if it cannot be recorded."""
    tensors = given.tensors()
    try:
        recorder = _Recorder(tensors)
        with recorder, torch.enable_grad():
            gradients, losses = loss.gradients(given)
        recorder.graph.output(tuple(recorder.node(one) for one in (*gradients.values(), losses)))
    except _Unrecordable as error:
        _LOG.info("a step is not recorded, since %s", error)
        return None
    names, recording = list(gradients), fx.GraphModule(recorder.constants, recorder.graph)
    play: Play = recording.forward
    if compiles:
        pools = {id(pool) for pool in given.pools()}
        play = compiled(recording, tensors, [place for place, one in enumerate(tensors) if id(one) in pools])

    def step(given: Batches) -> tuple[Tensors, Tensor]:
        with torch.no_grad():
            *found, losses = play(*given.tensors())
        return dict(zip(names, found, strict=True)), losses

    return step
