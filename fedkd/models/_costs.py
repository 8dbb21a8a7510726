"""What a network costs to use: its parameters, the arithmetic of one forward pass, and how long that takes beside another one.

>>> costs_of(network, Signature({"image": (1, 8, 8)}, num_outputs=10))
Costs(parameters=1210, flops=2368)
"""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fedkd.models.base import Signature, count_parameters, run_network


class Costs(NamedTuple):
    """What one network costs.

    Attributes:
        parameters: numbers that it learns.
        flops: floating-point operations of a forward pass for one sample: those of matrix products, convolutions and attention, a
            multiplication and an addition as two, as PyTorch's `flop_counter` counts them; what is done number by number is not counted.
    """

    parameters: int
    flops: int


def costs_of(network: nn.Module, signature: Signature) -> Costs:
    """Return what a network costs, whatever its weights are; it is left in the mode that it was in."""
    was_training = network.training
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run_network(network, signature.blank(1))
    network.train(was_training)
    return Costs(count_parameters(network), counter.get_total_flops())


@torch.no_grad()
def seconds_apiece(
    networks: Sequence[nn.Module], inputs: Mapping[str, Tensor], *, repeats: int = 30
) -> list[float]:
    """Return the median seconds of a forward pass of each network in evaluation mode, on all inputs at once.

    The networks take turns, so that what else the machine does meets all of them alike; only ratios say anything. Nothing of
    this belongs into the records of a run, which do not depend on a clock.

    Args:
        networks: at least one; each is left in evaluation mode.
        inputs: view name -> [n, ...].
        repeats: passes of each that are timed, after three that are not.
    """
    seconds: list[list[float]] = [[] for _ in networks]
    for repeat in range(repeats + 3):
        for network, own in zip(networks, seconds, strict=True):
            begun = time.perf_counter()
            run_network(network.eval(), inputs)
            if repeat >= 3:
                own.append(time.perf_counter() - begun)
    return [statistics.median(own) for own in seconds]
