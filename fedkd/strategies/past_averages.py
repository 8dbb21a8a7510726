"""Averaging of weights, with the mean of the last global networks as a teacher (FedGKD: Yao et al., 2021).

Yao et al., "Local-Global Knowledge Distillation in Heterogeneous Federated Learning with Non-IID Data" (2021; IEEE Transactions
on Computers, 2023), Algorithm 1: the server keeps the last M global networks and sends their mean beside the newest one.

    w = sum_k (n_k / n) w_k,   down: w and w_teacher = mean of the last M of them

Not here: FedGKD-VOTE, which sends all M networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from flwr.app import ArrayRecord
from torch import Tensor, nn

from fedkd.foundation.options import Count
from fedkd.knowledge import Package
from fedkd.strategies._federated import Sampling
from fedkd.strategies.averaging import Averaging, FedAvg
from fedkd.strategies.base import ServerSide


class FedGKD(FedAvg):
    """FedAvg that sends the mean of the last global networks as well, once there are several.

    Args:
        buffer: how many global networks are remembered, M; with 1 nothing is sent beside the newest one.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        buffer: int = 5,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.buffer = buffer
        self._past: list[dict[str, Tensor]] = []

    def beside(self, arrays: ArrayRecord) -> Package | None:
        """Remember the newest global network; return the mean of those that are remembered, if they are several."""
        self._past = [*self._past, arrays.to_torch_state_dict()][-self.buffer :]
        if len(self._past) < 2:
            return None
        newest = self._past[-1]
        means = {
            name: torch.stack([weights[name].double() for weights in self._past]).mean(dim=0).to(tensor.dtype)
            for name, tensor in newest.items()
        }
        return Package("weights", means)

    def state(self) -> dict[str, Tensor]:
        """Return the past global networks."""
        return {
            f"{place}/{name}": tensor
            for place, weights in enumerate(self._past)
            for name, tensor in weights.items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the past global networks."""
        places = sorted({int(name.partition("/")[0]) for name in state})
        self._past = [
            {name.partition("/")[2]: tensor for name, tensor in state.items() if name.startswith(f"{place}/")}
            for place in places
        ]


@dataclass(frozen=True, kw_only=True)
class PastAverages(Averaging):
    """Weights are averaged; the mean of the last global networks goes down beside the newest."""

    buffer: Count = 5
    """Global networks that are remembered, M; with 1 nothing goes down beside the newest."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)

    def create(self, side: ServerSide) -> FedGKD:
        """Return the Flower strategy."""
        return FedGKD(buffer=self.buffer, sampling=side.sampling)

    def sent_beside(self, network: nn.Module, num_outputs: int) -> tuple[int, int]:
        """Return as much again as the network, from the second round on."""
        del num_outputs
        size = sum(tensor.nelement() * tensor.element_size() for tensor in network.state_dict().values())
        return 0, size if self.buffer > 1 else 0
