"""Federated distillation without a public set: mean logits for each label (FD: Jeong et al., 2018, Algorithm 1).

What client k is taught about label y, of the mean logits z_jy of the clients that have it:

    t_ky = mean_(j != k, j has y) z_jy
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.class_means import mean_of_others
from fedkd.knowledge import BadPackage, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.base import ServerSide, ServerStrategy


class FD(Federated):
    """Sends each client the mean logits of every label over the *other* clients that have the label.

    Args:
        num_classes: number of labels, C.
        codec: how mean logits are sent.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        codec: Codec | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.num_classes, self.codec = num_classes, codec or Float32()
        self._said: dict[int, Package] = {}  # sorted by client

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client of the round its own mean over the others of the last round."""
        del arrays
        values, counts = self._values(), self._counts()

        def own(client: int) -> Mapping[str, ArrayRecord | ConfigRecord]:
            return to_records(self._for(client, values, counts), self.codec) if self._said else {}

        return self.tell_each(server_round, config, grid, own)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Remember what each client said about each label; there is no student."""
        del server_round
        said, metrics = {}, MeanMetrics()
        for answer in self.sift(replies, self._read):
            said[answer.client] = answer.said
            metrics.add(answer.content)
            del answer  # else it would be held until the next one is there
        self._said = {client: said[client] for client in sorted(said)}
        return None, metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return the last round's packages."""
        if not self._said:
            return {}
        return {
            "clients": torch.tensor(list(self._said)),
            "values": self._values(),
            "counts": self._counts(),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the last round's packages."""
        clients = state["clients"].tolist() if state else []
        self._said = {
            client: Package("class_means", {"values": state["values"][row]}, counts=state["counts"][row])
            for row, client in enumerate(clients)
        }

    def _read(self, message: Message) -> Package:
        package = from_records(message.content)
        package.require("class_means", (self.num_classes, self.num_classes))
        if package.counts is None or package.counts.shape != (self.num_classes,):
            raise BadPackage(f"sent class means without a count for each of {self.num_classes} labels")
        return package

    def _values(self) -> Float[Tensor, "clients labels classes"]:
        said = [package.values for package in self._said.values()]
        return torch.stack(said) if said else torch.zeros(0, self.num_classes, self.num_classes)

    def _counts(self) -> Int[Tensor, "clients labels"]:
        counts = [package.counts for package in self._said.values() if package.counts is not None]
        return torch.stack(counts) if counts else torch.zeros(0, self.num_classes, dtype=torch.long)

    def _for(self, client: int, values: Tensor, counts: Tensor) -> Package:
        own = list(self._said).index(client) if client in self._said else None
        means, known = mean_of_others(values, counts, without=own)
        return Package("class_means", {"values": means}, counts=known.long())


@dataclass(frozen=True, kw_only=True)
class ClassMeans(ServerStrategy):
    """Mean logits for each label cross; there is no public set and no student."""

    takes: ClassVar[tuple[str | None, ...]] = ("class_means",)
    has_student: ClassVar[bool] = False

    def create(self, side: ServerSide) -> FD:
        """Return the Flower strategy."""
        return FD(num_classes=side.num_outputs, codec=side.codec_down or side.codec, sampling=side.sampling)
