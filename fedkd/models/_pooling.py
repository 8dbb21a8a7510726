"""ReLU behind max pooling where a network says before it: the same numbers, and less to look at.

ReLU never falls, so the largest of some numbers stays the largest: pooling first changes no bit of what is said, nor of its
gradients, since where all of a window are cut off nothing passes either way. Of a window of four, three are spared.

>>> pool_first(network, inputs)
"""

import contextlib
import copy
from collections import Counter
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.foundation.seeding import drawing_from
from fedkd.models.base import Outputs, run_network

_NARROW = 16
"""Channels below which PyTorch pools number by number, which takes longer in bfloat16 than in float32."""


class _WaitingReLU(nn.ReLU):
    """Leaves its work to the pooling behind it, unless somebody listens to it."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (PyTorch's name)
        return super().forward(input) if self._forward_hooks else input


class _ActivatingPool(nn.MaxPool2d):
    """Does the work of the ReLU before it; done twice it is the same."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (PyTorch's name)
        if self._is_slow_on(input):
            return F.relu(super().forward(input.float()).to(input.dtype))
        said: Tensor = F.relu(super().forward(input))
        return said

    def _is_slow_on(self, x: Tensor) -> bool:
        """Return whether PyTorch pools these numbers one by one, and more quickly in float32: where windows do not overlap, with the same bits."""
        halved = x.dtype == torch.bfloat16 and x.device.type == "cpu"
        return halved and x.shape[-3] < _NARROW and self.stride == self.kernel_size and not self.padding


def pool_first(network: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    """Let each max pooling directly behind a ReLU come before it, in place, if the network then says the same to the bit.

    Args:
        network: its modules keep their names, and what a hook hears of any of them.
        inputs: some samples of what it will be given, two of which a copy of it is tried on.
    """
    if _pairs(network) and _says_the_same(network, inputs):
        _exchange(network)


@contextlib.contextmanager
def pooling_first(network: nn.Module, inputs: Mapping[str, Tensor]) -> Iterator[None]:
    """Do what `pool_first` does for as long as the context lasts."""
    pairs = _pairs(network)
    pool_first(network, inputs)
    try:
        yield
    finally:
        for activation, pool in pairs:
            activation.__class__, pool.__class__ = nn.ReLU, nn.MaxPool2d


def _exchange(network: nn.Module) -> None:
    for activation, pool in _pairs(network):
        activation.__class__, pool.__class__ = _WaitingReLU, _ActivatingPool


def _pairs(network: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """Return each ReLU with the max pooling behind it, where neither is used in another place."""
    uses = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    return [
        (first, second)
        for line in network.modules()
        if isinstance(line, nn.Sequential)
        for first, second in zip(line, [*line][1:], strict=False)
        if type(first) is nn.ReLU
        and not first.inplace
        and type(second) is nn.MaxPool2d
        and not second.return_indices
        and uses[id(first)] == uses[id(second)] == 1
    ]


def _says_the_same(network: nn.Module, inputs: Mapping[str, Tensor]) -> bool:
    """Return whether a copy of the network says the same afterwards; one that reads what a ReLU says by other ways would not."""
    trial = copy.deepcopy(network).eval()
    two = {view: x[:2] for view, x in inputs.items()}
    with drawing_from(0), torch.no_grad():
        try:
            before = run_network(trial, two)
            _exchange(trial)
            after = run_network(trial, two)
        except Exception:  # noqa: BLE001  (the network may be the user's; what is wrong with it, training will say)
            return False
    return _equal(before, after)


def _equal(before: Outputs, after: Outputs) -> bool:
    return all(
        one is other is None or (one is not None and other is not None and torch.equal(one, other))
        for one, other in zip(before, after, strict=True)
    )
