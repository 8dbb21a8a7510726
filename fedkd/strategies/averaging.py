"""Averaging of weights: Flower's own FedAvg, with clients sampled by our named stream (McMahan et al., 2017)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import flwr.serverapp.strategy as flower
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from fedkd.knowledge import ARRAYS, BadPackage
from fedkd.strategies._replies import require_like
from fedkd.strategies.base import Federated, ServerSide, ServerStrategy


class FedAvg(Federated, flower.FedAvg):
    """Flower's FedAvg over usable answers in the order of their partitions.

    Args:
        clients_per_round, min_clients, num_clients, seed: as in `Federated`.
    """

    def __init__(
        self,
        *,
        clients_per_round: int | None = None,
        min_clients: int = 1,
        num_clients: int | None = None,
        seed: int = 0,
    ) -> None:
        Federated.__init__(
            self,
            clients_per_round=clients_per_round,
            min_clients=min_clients,
            num_clients=num_clients,
            seed=seed,
        )
        flower.FedAvg.__init__(self)
        self._sent = ArrayRecord()

    def summary(self) -> None:
        """Say nothing: fedkd reports runs in its own way."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the global weights to the round's clients."""
        self._sent = arrays
        return self.broadcast(server_round, config, grid, {self.arrayrecord_key: arrays})

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the weights by number of samples, computed by Flower."""
        answers = self.sift(replies, self._require_usable)
        return flower.FedAvg.aggregate_train(self, server_round, [answer.message for answer in answers])

    def judged(self, client: int, arrays: ArrayRecord) -> Mapping[str, ArrayRecord]:
        """Return the global weights."""
        del client
        return {self.arrayrecord_key: arrays}

    def _require_usable(self, message: Message) -> None:
        if ARRAYS not in message.content.array_records:
            raise BadPackage("sent no weights")
        # Flower averages whatever arrays a reply holds, and gives up the round where one reply holds another number of them.
        if len(message.content.array_records) > 1 or len(message.content.metric_records) > 1:
            raise BadPackage("sent more than one record of arrays or metrics")
        require_like(message.content.array_records[ARRAYS], self._sent)


@dataclass(frozen=True, kw_only=True)
class Averaging(ServerStrategy):
    """Weights are averaged by the number of samples behind them."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)
    needs_float32: ClassVar[bool] = True
    mixed_models: ClassVar[bool] = False

    def create(self, side: ServerSide) -> FedAvg:
        """Return the Flower strategy."""
        return FedAvg(**side.sampling)
