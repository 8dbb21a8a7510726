"""Convolutions over time, and the mean over the steps that there are (time-delay networks: Waibel et al., 1989)."""

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.options import Count
from fedkd.models.base import Model, Outputs, Signature

LENGTH = "length"
"""Name of the view that says how many steps of each series are known, where the data has one."""


@dataclass(frozen=True, kw_only=True)
class Conv1d(Model):
    """Convolutions with ReLU over the steps of a series, whose mean a linear layer sees; what a series is padded with has no part in it.

    An image is read column by column.
    """

    channels: tuple[Count, ...] = (32, 32)
    """Channels of each convolution."""

    kernel: Count = 3
    """Steps that a convolution sees; odd, so that padding keeps their number."""

    def __post_init__(self) -> None:
        """Refuse even kernels, and a network without a convolution."""
        if self.kernel % 2 == 0:
            raise InvalidOption("model.kernel", self.kernel, "an odd number of steps")
        if not self.channels:
            raise InvalidOption("model.channels", list(self.channels), "at least one convolution")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the network for series [channels, steps]."""
        if len(shape) < 2:
            raise IllegalCombination(
                f"model=conv1d takes series [channels, steps], this data has inputs of shape {list(shape)}; take model=mlp or model=logistic"
            )
        return _Conv1d(math.prod(shape[:-1]), self, num_outputs)

    def build(self, signature: Signature) -> nn.Module:
        """Build the network; it also reads how long each series is, where the data says so."""
        network = super().build(signature)
        if LENGTH in signature.views:
            network.views = (self.view or next(iter(signature.views)), LENGTH)  # type: ignore[assignment]
        return network


class _Conv1d(nn.Module):
    def __init__(self, depth: int, options: Conv1d, num_outputs: int) -> None:
        super().__init__()
        widths = (depth, *options.channels)
        self.body = nn.ModuleList(
            nn.Conv1d(before, after, options.kernel, padding=options.kernel // 2)
            for before, after in itertools.pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], num_outputs)

    def forward(
        self, series: Float[Tensor, "batch ... steps"], length: Int[Tensor, " batch"] | None = None
    ) -> Outputs:
        """Return the outputs and the mean over the steps; without `length` every step counts."""
        x, steps = series.flatten(1, -2), series.shape[-1]
        if length is None:
            length = torch.full((len(series),), steps, device=series.device)
        known = (torch.arange(steps, device=series.device) < length[:, None])[:, None].to(x.dtype)
        for convolution in self.body:
            # Beyond the end is nothing, whatever a convolution makes of the last steps there.
            x = convolution(x).relu() * known
        features = x.sum(dim=-1) / known.sum(dim=-1).clamp_min(1.0)
        return Outputs(self.head(features), features)
