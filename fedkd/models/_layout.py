"""How a network's weights lie in memory, and in which order it pools: convolutions on a CPU are faster where the channels of a pixel lie side by side.

>>> with fast_layout(network, inputs):
...     train(network)
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from fedkd.foundation.seeding import drawing_from
from fedkd.models._pooling import pool_first, pooling_first
from fedkd.models.base import run_network


@contextlib.contextmanager
def fast_layout(network: nn.Module, inputs: Mapping[str, Tensor]) -> Iterator[None]:
    """Let a network's kernels lie with their channels last while it trains, if it gains by that and can do it, and pool before each ReLU.

    The layout changes no number of the weights, but the order in which sums are made, so the last bits of what is trained.

    Args:
        network: changed in place; afterwards its weights lie as before.
        inputs: some samples of what it will be trained on, to find out whether it can.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(pooling_first(network, inputs))
        if gains_by_layout(network) and bears_layout(network, inputs):
            stack.enter_context(_channels_last_meanwhile(network))
        yield


@contextlib.contextmanager
def _channels_last_meanwhile(network: nn.Module) -> Iterator[None]:
    """Let a network's kernels lie with their channels last in this context."""
    channels_last(network)
    try:
        yield
    finally:
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def lay_out(network: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    """Do for good what `fast_layout` does."""
    pool_first(network, inputs)
    if gains_by_layout(network) and bears_layout(network, inputs):
        channels_last(network)


def channels_last(network: nn.Module) -> None:
    """Lay a network's kernels with their channels last, in place."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def lies_channels_last(network: nn.Module) -> bool:
    """Return whether kernels of a network lie with their channels last."""
    return any(
        weight.ndim == 4
        and weight.is_contiguous(memory_format=torch.channels_last)
        and not weight.is_contiguous()
        for weight in network.parameters()
    )


def gains_by_layout(network: nn.Module) -> bool:
    """Return whether a network has convolutions over images and lies in the memory of a CPU."""
    return any(
        isinstance(module, nn.Conv2d) and module.weight.device.type == "cpu" for module in network.modules()
    )


def bears_layout(network: nn.Module, inputs: Mapping[str, Tensor]) -> bool:
    """Return whether a network can be trained with its channels last; one that flattens by `view` cannot.

    A copy of the network is tried on two of the samples.
    """
    trial = copy.deepcopy(network).train()
    two = {view: x[:2] for view, x in inputs.items()}
    with drawing_from(0), _channels_last_meanwhile(trial), torch.enable_grad():
        try:
            run_network(trial, two).logits.sum().backward()  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001  (the network may be the user's; what else is wrong with it, training will say)
            return False
    return True
