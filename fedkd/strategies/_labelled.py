"""Averaging of weights that come with the number of samples of each class behind them."""

from typing import Any

import numpy.typing as npt
import torch
from flwr.app import Message
from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge import BadPackage
from fedkd.strategies._replies import read_weights
from fedkd.strategies.averaging import FedAvg


class LabelledFedAvg(FedAvg):
    """FedAvg whose clients also say how many samples of each class they have learned from, as `counts`.

    Args:
        classes: how many classes there are.
        clients_per_round, min_clients, num_clients, seed: as in `Federated`.
    """

    def __init__(
        self,
        *,
        classes: int,
        clients_per_round: int | None = None,
        min_clients: int = 1,
        num_clients: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            clients_per_round=clients_per_round, min_clients=min_clients, num_clients=num_clients, seed=seed
        )
        self.classes = classes

    def _read(self, message: Message) -> dict[str, npt.NDArray[Any]]:
        arrays = read_weights(message.content, {**self._shapes, "counts": (self.classes,)})
        if (arrays["counts"] < 0).any() or not arrays["counts"].any():
            raise BadPackage("sent label counts that are below 0, or all 0")
        return arrays


def draw_labels(
    counts: Int[Tensor, "clients classes"], size: int, draw: torch.Generator
) -> Int[Tensor, " size"]:
    """Return classes, each as likely as its share of the samples of all clients."""
    return torch.multinomial(counts.sum(dim=0).double(), size, replacement=True, generator=draw)


def shares_of(counts: Int[Tensor, "clients classes"]) -> Tensor:
    """Return each client's share of the samples of each class [clients, classes]; 0 for a class that nobody has."""
    return counts.float() / counts.sum(dim=0).clamp_min(1)
