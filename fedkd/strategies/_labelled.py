"""Averaging of weights that come with the number of samples of each class behind them."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt
import torch
from flwr.app import ArrayRecord, Message, MetricRecord
from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge import BadPackage
from fedkd.strategies._federated import Answer, Sampling
from fedkd.strategies._replies import read_weights
from fedkd.strategies.averaging import FedAvg


class LabelledFedAvg(FedAvg):
    """FedAvg whose clients also say how many samples of each class they have learned from, as `counts`.

    Args:
        classes: how many classes there are.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        classes: int,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.classes = classes

    def _read(self, message: Message) -> dict[str, npt.NDArray[Any]]:
        arrays = read_weights(message.content, {**self._shapes, "counts": (self.classes,)})
        if (arrays["counts"] < 0).any() or not arrays["counts"].any():
            raise BadPackage("sent label counts that are below 0, or all 0")
        return arrays

    def note(self, answer: Answer[dict[str, npt.NDArray[Any]]]) -> None:
        """Keep of a client what the server learns from once all have answered."""
        self._heard[answer.client] = self.kept(answer.said)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average the weights, let the server learn from what it kept of the clients, and return the weights that it ends with."""
        self._heard: dict[int, dict[str, Tensor]] = {}
        arrays, metrics = super().aggregate_train(server_round, replies)
        heard = [self._heard[client] for client in sorted(self._heard)]
        self._heard = {}
        if arrays is None or not heard:
            return arrays, metrics
        counts = torch.stack([client.pop("counts") for client in heard])
        return self.learn(server_round, arrays, heard, counts), metrics

    @abstractmethod
    def kept(self, said: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
        """Return what is kept of a client until the round ends, its `counts` included."""

    @abstractmethod
    def learn(
        self,
        server_round: int,
        average: ArrayRecord,
        heard: list[dict[str, Tensor]],
        counts: Int[Tensor, "clients classes"],
    ) -> ArrayRecord:
        """Learn from what was kept of the clients, sorted by number, and return the global weights."""


def draw_labels(
    counts: Int[Tensor, "clients classes"], size: int, draw: torch.Generator
) -> Int[Tensor, " size"]:
    """Return classes, each as likely as its share of the samples of all clients."""
    return torch.multinomial(counts.sum(dim=0).double(), size, replacement=True, generator=draw)


def shares_of(counts: Int[Tensor, "clients classes"]) -> Tensor:
    """Return each client's share of the samples of each class [clients, classes]; 0 for a class that nobody has."""
    return counts.float() / counts.sum(dim=0).clamp_min(1)
