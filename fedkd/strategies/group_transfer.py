"""Group knowledge transfer: the server's network reads features of the clients' samples, learns from clients, and teaches each in return.

He, Annavaram & Avestimehr, "Group Knowledge Transfer: Federated Learning of Large CNNs at the Edge" (NeurIPS 2020), Algorithm 1.
Client k says of each of its own samples what a layer of its network says (h), its logits z_k and the label y; with p_k and p_s the
probabilities of client and server at temperature T, the server's network f_s learns in every round

    L_s = sum over clients and samples of CE(f_s(h), y) + T^2 KL(p_k || p_s)

and then z_s = f_s(h) goes back to the client that the sample is of. So a split network needs no message per batch: the gradient ends at h, and each side speaks once a round. What is used in the end is a client's
network up to that layer, and the server's network from there on; extractors are never averaged.

Differs from the paper: batches mix the samples of all clients, the server's optimiser is new in each round, and its logits are taken once it has
learned, in evaluation mode; the authors' code goes client by client, keeps the optimiser, and takes logits while the network learns.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.distillation import Distiller
from fedkd.engine.continued import VIEW
from fedkd.knowledge import BadPackage, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.package import WEIGHTS
from fedkd.models.base import predict
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.base import ServerSide, ServerStrategy
from fedkd.tasks import Task

_NETWORK = "network/"
"""Before the names of the server's weights in the strategy's state."""


class FedGKT(Federated):
    """Trains a network on the clients' features, and tells each client what it says about the client's own samples.

    It holds the features of a round, and of every client the logits that it was told last.

    Args:
        student: the server's network, which reads features.
        shape: of the features of a sample.
        num_classes: number of classes, C.
        task: what outputs mean.
        distiller: how the server learns; half of its loss should be that of labels, which is `L_s` up to a factor of 2.
        codec: how logits are sent down.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        student: nn.Module,
        shape: tuple[int, ...],
        num_classes: int,
        task: Task,
        distiller: Distiller | None = None,
        codec: Codec | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.student, self.shape, self.num_classes, self.task = student, shape, num_classes, task
        self.distiller = distiller or Distiller(temperature=3.0, label_weight=0.5)
        self.codec = codec or Float32()
        self._told: dict[int, Package] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client of the round what the server says about its samples, once it has learned from them."""
        del arrays

        def own(client: int) -> Mapping[str, ArrayRecord | ConfigRecord]:
            return to_records(self._told[client], self.codec) if client in self._told else {}

        return self.tell_each(server_round, config, grid, own)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Learn from what the clients say of their samples; there is no network that reads samples, so no weights are returned."""
        metrics, heard = MeanMetrics(), dict[int, Package]()
        for answer in self.sift(replies, self._read):
            heard[answer.client] = answer.said
            metrics.add(answer.content)
        if heard:
            self._learn(server_round, {client: heard[client] for client in sorted(heard)})
        return None, metrics.result()

    def completed(self) -> Mapping[str, ArrayRecord]:
        """Return the server's network, which goes on from the layer of each client's."""
        return {WEIGHTS: ArrayRecord(self.student.state_dict())}

    def judged(self, client: int, arrays: ArrayRecord) -> Mapping[str, ArrayRecord]:
        """Return the server's network."""
        del client, arrays
        return self.completed()

    def state(self) -> dict[str, Tensor]:
        """Return the server's weights, and what each client was told last."""
        held = {f"{_NETWORK}{name}": tensor for name, tensor in self.student.state_dict().items()}
        if not self._told:
            return held
        told = [self._told[client] for client in sorted(self._told)]
        ids = [package.ids for package in told if package.ids is not None]
        return {
            **held,
            "clients": torch.tensor(sorted(self._told)),
            "sizes": torch.tensor([len(each) for each in ids]),
            "ids": torch.cat(ids),
            "logits": torch.cat([package.values for package in told]),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up weights and logits."""
        self.student.load_state_dict(
            {
                name.removeprefix(_NETWORK): tensor
                for name, tensor in state.items()
                if name.startswith(_NETWORK)
            }
        )
        if "clients" not in state:
            return
        sizes = state["sizes"].tolist()
        pieces = zip(*(torch.split(state[name], sizes) for name in ("ids", "logits")), strict=True)
        self._told = {
            client: _logits(logits, ids)
            for client, (ids, logits) in zip(state["clients"].tolist(), pieces, strict=True)
        }

    def _learn(self, server_round: int, heard: Mapping[int, Package]) -> None:
        features = torch.cat([said.values for said in heard.values()])
        targets = [said.targets for said in heard.values() if said.targets is not None]
        self.distiller.distil(
            self.student,
            {VIEW: features},
            torch.cat([said.arrays["logits"] for said in heard.values()]),
            task=self.task,
            generator=self.streams.torch("distil", round=server_round),
            targets=torch.cat(targets),
        )
        for client, said in heard.items():
            assert said.ids is not None
            self._told[client] = _logits(predict(self.student, {VIEW: said.values}), said.ids)

    def _read(self, message: Message) -> Package:
        package = from_records(message.content)
        count = 0 if package.ids is None else len(package.ids)
        package.require("features", (count, *self.shape))
        if "logits" not in package.arrays or package.arrays["logits"].shape != (count, self.num_classes):
            raise BadPackage(f"sent features without logits of {self.num_classes} classes for each sample")
        labels = package.targets
        if labels is None or labels.shape != (count,) or labels.dtype != torch.long:
            raise BadPackage("sent features without the label of each sample")
        if count and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise BadPackage(f"sent labels that are not from 0 to {self.num_classes - 1}")
        return package


def _logits(values: Tensor, ids: Tensor) -> Package:
    return Package("logits", {"values": values}, ids=ids)


@dataclass(frozen=True, kw_only=True)
class GroupTransfer(ServerStrategy):
    """Features, logits and labels of clients' own samples come up; a larger network learns from them, and says in return what it thinks of these samples."""

    takes: ClassVar[tuple[str | None, ...]] = ("features",)
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    needs_distiller: ClassVar[bool] = True
    has_student: ClassVar[bool] = False
    tells_of_own: ClassVar[bool] = True

    def create(self, side: ServerSide) -> FedGKT:
        """Return the Flower strategy."""
        return FedGKT(
            student=next(iter(side.students.values())),
            shape=side.student_reads,
            num_classes=side.num_outputs,
            task=side.task,
            distiller=side.distiller,
            codec=side.codec_down or side.codec,
            sampling=side.sampling,
        )
