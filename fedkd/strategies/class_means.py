"""Federated distillation without a public set: mean logits for each label (FD: Jeong et al., 2018, Algorithm 1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.aggregation.class_means import mean_of_others
from fedkd.knowledge import BadPackage, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.strategies._replies import mean_metrics
from fedkd.strategies.base import Federated, ServerSide, ServerStrategy


class FD(Federated):
    """Sends each client the mean logits of every label over the *other* clients that have the label.

    Args:
        num_classes: number of labels, C.
        codec: how mean logits are sent.
        clients_per_round, min_clients, num_clients, seed: as in `Federated`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        codec: Codec | None = None,
        clients_per_round: int | None = None,
        min_clients: int = 1,
        num_clients: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            clients_per_round=clients_per_round, min_clients=min_clients, num_clients=num_clients, seed=seed
        )
        self.num_classes, self.codec = num_classes, codec or Float32()
        self._said: dict[int, Package] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client of the round its own mean over the others of the last round."""
        del arrays
        self.failures = []
        options = ConfigRecord({**config, "server-round": server_round})
        contents = {}
        for client in self.participants(server_round, grid):
            records = to_records(self._for(client), self.codec) if self._said else {}
            contents[client] = RecordDict({**records, "config": options})
        return self.messages(contents, MessageType.TRAIN)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Remember what each client said about each label; there is no student."""
        del server_round
        answers = self.sift(replies, self._require_usable)
        self._said = {answer.client: from_records(answer.content) for answer in answers}
        return None, mean_metrics(answer.content for answer in answers)

    def state(self) -> dict[str, Tensor]:
        """Return the last round's packages."""
        if not self._said:
            return {}
        return {
            "clients": torch.tensor(sorted(self._said)),
            "values": torch.stack([self._said[client].values for client in sorted(self._said)]),
            "counts": self._counts(),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the last round's packages."""
        clients = state["clients"].tolist() if state else []
        self._said = {
            client: Package("class_means", {"values": state["values"][row]}, counts=state["counts"][row])
            for row, client in enumerate(clients)
        }

    def _require_usable(self, message: Message) -> None:
        package = from_records(message.content)
        package.require("class_means", (self.num_classes, self.num_classes))
        if package.counts is None or package.counts.shape != (self.num_classes,):
            raise BadPackage(f"sent class means without a count for each of {self.num_classes} labels")

    def _counts(self) -> Tensor:
        counts = [self._said[client].counts for client in sorted(self._said)]
        return torch.stack([count for count in counts if count is not None])

    def _for(self, client: int) -> Package:
        teachers = sorted(self._said)
        values = torch.stack([self._said[teacher].values for teacher in teachers])
        own = teachers.index(client) if client in self._said else None
        means, known = mean_of_others(values, self._counts(), without=own)
        return Package("class_means", {"values": means}, counts=known.long())


@dataclass(frozen=True, kw_only=True)
class ClassMeans(ServerStrategy):
    """Mean logits for each label cross; there is no public set and no student."""

    takes: ClassVar[tuple[str | None, ...]] = ("class_means",)
    has_student: ClassVar[bool] = False

    def create(self, side: ServerSide) -> FD:
        """Return the Flower strategy."""
        return FD(num_classes=side.num_outputs, codec=side.codec, **side.sampling)
