"""Federated prototypes: the mean features of each class cross, no public set, no student.

Tan et al., "FedProto: Federated Prototype Learning across Heterogeneous Clients" (AAAI 2022), equation 6: the global prototype of
a class is the mean of the clients' prototypes by how many samples of the class stand behind each:

    C_global_j = sum_k (n_kj / n_j) C_kj     over the clients that have class j, n_kj samples of it

The equation as printed divides by the number of clients once more, which would shrink prototypes; it is left out. The authors' code
counts every client that has the class alike; `mean: clients` is that form.
A class about which nobody speaks in a round keeps the prototype that it had.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.aggregation.sums import Sum
from fedkd.knowledge import BadPackage, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models.base import observe
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.base import ServerSide, ServerStrategy

Mean = Literal["samples", "clients"]


class FedProto(Federated):
    """Sends everyone the mean feature vector of each class over the clients that have it.

    Args:
        num_classes: number of classes, C.
        width: number of features, d, the same for all clients.
        mean: by `samples`, or over `clients` alike.
        codec: how prototypes are sent.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        width: int,
        mean: Mean = "samples",
        codec: Codec | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.num_classes, self.width, self.mean, self.codec = num_classes, width, mean, codec or Float32()
        self._prototypes = torch.zeros(num_classes, width)
        self._known = torch.zeros(num_classes, dtype=torch.long)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the global prototypes, once there are any."""
        del arrays
        package = Package("prototypes", {"values": self._prototypes}, counts=self._known)
        records = to_records(package, self.codec) if bool(self._known.any()) else {}
        return self.broadcast(server_round, config, grid, records)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the mean of the prototypes of each class; there is no student."""
        del server_round
        metrics = MeanMetrics()
        total, weight = Sum(self.num_classes * self.width), Sum(self.num_classes)
        for answer in self.sift(replies, self._read):
            counts = answer.said.counts
            assert counts is not None
            shares = (counts if self.mean == "samples" else (counts > 0)).double()
            said = torch.zeros(self.num_classes, self.width, dtype=torch.float64)
            said[counts > 0] = answer.said.values.double()
            total.add((said * shares[:, None]).reshape(-1).numpy())
            weight.add(shares.numpy())
            metrics.add(answer.content)
            del answer  # else it would be held until the next one is there
        weights = torch.from_numpy(weight.result())
        means = torch.from_numpy(total.result()).reshape(self.num_classes, self.width)
        spoken = weights > 0
        fresh = (means / torch.where(spoken, weights, 1.0)[:, None]).float()
        self._prototypes = torch.where(spoken[:, None], fresh, self._prototypes)
        self._known = (spoken | (self._known > 0)).long()
        return None, metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return the global prototypes, and which classes have one."""
        return {"prototypes": self._prototypes, "known": self._known}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the global prototypes."""
        self._prototypes, self._known = state["prototypes"], state["known"]

    def _read(self, message: Message) -> Package:
        package = from_records(message.content)
        if package.counts is None or package.counts.shape != (self.num_classes,):
            raise BadPackage(f"sent {package.kind} without a count for each of {self.num_classes} classes")
        package.require("prototypes", (int((package.counts > 0).sum()), self.width))
        return package


@dataclass(frozen=True, kw_only=True)
class Prototypes(ServerStrategy):
    """The mean features of each class cross; there is no public set and no student."""

    mean: Mean = "samples"
    """What counts in a class's mean: every `samples` alike (paper), or every one of the `clients` that has it (the authors' code)."""

    takes: ClassVar[tuple[str | None, ...]] = ("prototypes",)
    has_student: ClassVar[bool] = False

    def create(self, side: ServerSide) -> FedProto:
        """Return the Flower strategy."""
        network = next(iter(side.students.values()))
        width = observe(network, side.validation.take(torch.arange(1)).inputs).features.shape[-1]
        return FedProto(
            num_classes=side.num_outputs,
            width=width,
            mean=self.mean,
            codec=side.codec,
            sampling=side.sampling,
        )
