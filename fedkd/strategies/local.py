"""No exchange: every client trains alone. The lower reference of every comparison."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from fedkd.strategies._federated import Federated
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.base import ServerSide, ServerStrategy


class Local(Federated):
    """Asks clients to train and gives them nothing; there is no student."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the round's clients to train."""
        del arrays
        return self.broadcast(server_round, config, grid, {})

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the clients' mean metrics; nothing is learned from them."""
        del server_round
        metrics = MeanMetrics()
        for answer in self.sift(replies, lambda _: None):
            metrics.add(answer.content)
        return None, metrics.result()


@dataclass(frozen=True, kw_only=True)
class NoExchange(ServerStrategy):
    """Nothing crosses."""

    takes: ClassVar[tuple[str | None, ...]] = (None,)
    has_student: ClassVar[bool] = False

    def create(self, side: ServerSide) -> Local:
        """Return the Flower strategy."""
        return Local(side.sampling)
