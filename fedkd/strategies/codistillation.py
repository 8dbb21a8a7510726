"""Co-distillation on a public set: clients answer, the server fuses, everyone learns the consensus.

With the answers f_k(x) of the clients and their weights a_k, on every sample x of the public set:

    t(x) = fuse_k (a_k(x), f_k(x))                the consensus
    student <- minimise mean_x D(t(x), f_S(x))    D the distiller's divergence; labels of the public set may count beside it
    down: t(x), or f_S(x) with `broadcast: student`

FedMD: Li & Wang (2019), Algorithm 1. DS-FL: Itahara et al. (2020), Algorithm 1. In DS-FL the server trains a global model
on the consensus; FedMD has none, and here it gets one, so that there is a student to report: no client ever sees it.
CFD: Sattler et al. (2020), Algorithm 1, and MHAT: Hu et al. (2021): what goes down is what the server's model says after it has
learned the consensus. Cronus: Chang et al. (2019): the consensus is a robust mean.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.aggregation.evidence import read_evidence
from fedkd.aggregation.folding import FUSION, Folding, Fused
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.era import ERA
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.teachers import Need
from fedkd.aggregation.weightings.base import Weighting
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.foundation.options import Count
from fedkd.knowledge import BadPackage, Package
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models.base import predict
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._lines import Lines
from fedkd.strategies._replies import MeanMetrics, require_known
from fedkd.strategies.base import ServerSide, ServerStrategy
from fedkd.tasks import Classification, Task

Broadcast = Literal["fused", "student"]

_LINES = "lines/"
"""Before the names of what the lines hold, in the strategy's state."""


class Opinion(NamedTuple):
    """What a client says about the samples that it was asked about.

    Attributes:
        scores: its outputs in log space.
        rows: the places of the samples among those that were asked about; none where it speaks about all, in order.
        sent: what it says about itself for the sake of the weighting.
    """

    scores: Float[Tensor, "m ... outputs"]
    rows: Int[Tensor, " m"] | None
    sent: Mapping[str, Tensor]


class CoDistillationStrategy(Federated):
    """Asks clients about proxy samples, fuses their answers, distils the student, and sends the consensus down.

    Args:
        student: the server's network; its weights are the `arrays` that Flower hands from round to round.
        proxy: the public samples, whose ids both sides know.
        task: what outputs mean.
        fusion, weighting: how answers become one; by default that of the method, every client alike.
        distiller: how the student learns; by default that of the method, which may be none.
        codec: how the clients' answers are sent; what matters here is whether it remembers.
        codec_down: how the consensus is sent; by default as the answers.
        samples_per_round: how many proxy samples each round is about; none is all of them.
        send: `fused` sends what the clients said together, `student` what the student then says (as MHAT and CFD do).
        validation: data for the distiller's early stopping.
        labelled: whether the labels of the proxy set may be used to weigh teachers.
        sampling: who takes part in a round.
    """

    default_fusion: ClassVar[Fusion] = MeanLogits()
    default_distiller: ClassVar[Distiller | None] = None

    def __init__(
        self,
        *,
        student: nn.Module,
        proxy: Samples,
        task: Task | None = None,
        fusion: Fusion | None = None,
        weighting: Weighting | None = None,
        distiller: Distiller | None = None,
        codec: Codec | None = None,
        codec_down: Codec | None = None,
        samples_per_round: int | None = None,
        send: Broadcast = "fused",
        validation: Samples | None = None,
        labelled: bool = False,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.student, self.proxy, self.validation = student, proxy, validation
        self.task = task or Classification()
        self.fusion, self.weighting = fusion or self.default_fusion, weighting or Uniform()
        self.distiller = distiller or self.default_distiller
        self.samples_per_round, self.send = samples_per_round, send
        codec = codec or Float32()
        self.lines = Lines(codec, codec_down or codec)
        require_known(self.weighting, labels=labelled, validation=False)
        self._labels = proxy.targets if "labels" in self.weighting.needs else None
        self._consensus: Package | None = None
        self._asked = torch.arange(len(proxy))
        self._weights: Mapping[int, float] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the last consensus, and ask about this round's proxy samples."""
        self.student.load_state_dict(arrays.to_torch_state_dict())
        self._asked = self._draw(server_round)
        clients = self.participants(server_round, grid)
        more: dict[str, ArrayRecord | ConfigRecord] = {}
        if len(self._asked) < len(self.proxy) or self.samples_per_round is not None:
            more["ask"] = ArrayRecord({"ids": Array(self.proxy.ids[self._asked].numpy())})
        more["config"] = ConfigRecord({**config, "server-round": server_round, **self.lines.options(clients)})
        self.failures = []
        records = self.lines.down(self._consensus, clients)
        # Clients that are sent the same get one object, which is then measured and decoded once.
        contents = {
            key: RecordDict({**own, **more})
            for key, own in {id(own): own for own in records.values()}.items()
        }
        sent = {client: contents[id(own)] for client, own in records.items()}
        return self.messages(sent, MessageType.TRAIN)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Fuse the answers, distil the student, and return its weights."""
        metrics = MeanMetrics()
        said = self._fuse(server_round, replies, metrics)
        self.lines.settle(self._usable)
        asked, fused = self.proxy.take(self._asked[said.heard]), said.scores
        if self.distiller is not None:
            self.distiller.distil(
                self.student,
                asked.inputs,
                fused,
                task=self.task,
                generator=self.streams.torch("distil", round=server_round),
                validate=None if self.validation is None else self._validate,
                targets=asked.targets,
                relations=said.relations,
            )
        self._consensus = self._to_send(fused, asked)
        self._weights = said.weights
        return ArrayRecord(self.student.state_dict()), metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return the consensus that the next round begins with."""
        if self._consensus is None or self._consensus.ids is None:
            return {}
        held = {f"{_LINES}{name}": tensor for name, tensor in self.lines.state().items()}
        return {self._consensus.kind: self._consensus.values, "ids": self._consensus.ids, **held}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the consensus."""
        kind = next((name for name in ("logits", "probabilities") if name in state), None)
        self._consensus = None if kind is None else Package(kind, {"values": state[kind]}, ids=state["ids"])
        held = {name.removeprefix(_LINES): state[name] for name in state if name.startswith(_LINES)}
        self.lines.load_state(held)

    def teacher_weights(self) -> Mapping[int, float] | None:
        """Return each client's mean weight over the samples of the last round."""
        return self._weights

    def accounts(self, server_round: int) -> Mapping[str, float]:
        """Return the privacy that noisy votes have spent in all rounds so far, or noise on what clients say of themselves."""
        return {**self.weighting.accounts(), **self.fusion.accounts(server_round * len(self._asked))}

    def _draw(self, server_round: int) -> Int[Tensor, " n"]:
        if self.samples_per_round is None:
            return torch.arange(len(self.proxy))
        order = torch.randperm(len(self.proxy), generator=self.streams.torch("ask", round=server_round))
        return order[: self.samples_per_round].sort().values

    def _fuse(self, server_round: int, replies: Iterable[Message], metrics: MeanMetrics) -> Fused:
        """Return what the clients say together about the samples that somebody spoke about."""
        labels = None if self._labels is None else self._labels[self._asked]
        folding = Folding(self.fusion, self.weighting, samples=len(self._asked), labels=labels)
        for answer in self.sift(replies, self._read):
            said = answer.said
            folding.add(answer.client, said.scores, size=answer.size, rows=said.rows, sent=said.sent)
            metrics.add(answer.content)
            del answer, said  # else they would be held until the next one is there
        student = None
        if "student" in self.weighting.needs:
            student = predict(self.student, self.proxy.take(self._asked).inputs)
        return folding.result(student=student, generator=self.streams.torch(FUSION, round=server_round))

    def _read(self, message: Message) -> Opinion:
        package = self.lines.up(self.client_of(message.metadata.src_node_id), message.content)
        ids = package.ids
        if package.kind not in {"logits", "probabilities"} or ids is None or ids.dim() != 1:
            raise BadPackage(
                f"sent {package.kind} without ids, expected logits or probabilities of proxy samples"
            )
        package.require(package.kind, (len(ids), *self._answer))
        *places, outputs = self._answer
        sent = read_evidence(
            message.content, self.weighting, samples=len(ids), outputs=outputs, answers=math.prod(places)
        )
        return Opinion(package.scores().float(), self._rows(ids.long()), sent)

    def _rows(self, ids: Int[Tensor, " m"]) -> Int[Tensor, " m"] | None:
        """Return which of the samples that were asked about these are."""
        asked = self.proxy.ids[self._asked]
        if torch.equal(ids, asked):
            return None
        distinct = len(np.unique(ids.numpy()))
        if not distinct or distinct < len(ids):
            raise BadPackage(f"sent {len(ids)} answers about {distinct} samples")
        known, order = asked.sort()
        places = torch.searchsorted(known, ids).clamp_max(len(known) - 1)
        if unknown := int((known[places] != ids).sum()):
            raise BadPackage(f"sent answers about {unknown} samples that were not asked for")
        return order[places]

    @functools.cached_property
    def _answer(self) -> tuple[int, ...]:
        """The shape of what a network says of a sample."""
        return tuple(predict(self.student, self.proxy.take(torch.arange(1)).inputs).shape[1:])

    def _to_send(self, fused: Float[Tensor, "n ... outputs"], asked: Samples) -> Package:
        said = predict(self.student, asked.inputs) if self.send == "student" else fused
        values = F.softmax(said, dim=-1) if self.fusion.gives == "probabilities" else said
        return Package(self.fusion.gives, {"values": values}, ids=asked.ids)

    def _validate(self, network: nn.Module) -> float:
        assert self.validation is not None
        said = predict(network, self.validation.inputs)
        return self.task.metrics(said, self.validation.targets)[self.task.score]


class FedMD(CoDistillationStrategy):
    """FedMD: the mean of logits is the consensus; without a distiller the server has no model of its own, as in the paper."""


class DSFL(CoDistillationStrategy):
    """DS-FL: the mean of probabilities, sharpened by ERA at temperature 0.1, is the consensus; the server learns it too."""

    default_fusion: ClassVar[Fusion] = ERA()
    default_distiller: ClassVar[Distiller | None] = Distiller()


@dataclass(frozen=True, kw_only=True)
class CoDistillation(ServerStrategy):
    """Answers about a public set cross, both ways."""

    samples_per_round: Count | None = None
    """Proxy samples that a round is about, drawn anew each round; none is the whole proxy set."""

    broadcast: Broadcast = "fused"
    """What goes down: what the clients said together, or what the student says after learning it."""

    takes: ClassVar[tuple[str | None, ...]] = ("logits", "probabilities")
    needs_proxy: ClassVar[bool] = True
    needs_fusion: ClassVar[bool] = True
    keeps_copies: ClassVar[bool] = True
    offers: ClassVar[frozenset[Need]] = frozenset({"labels", "student", "clients"})

    def asks_about(self, count: int) -> int:
        """Return how many samples are drawn."""
        return count if self.samples_per_round is None else self.samples_per_round

    def create(self, side: ServerSide) -> CoDistillationStrategy:
        """Return the Flower strategy."""
        assert side.proxy is not None
        return CoDistillationStrategy(
            student=next(iter(side.students.values())),
            proxy=side.proxy,
            task=side.task,
            fusion=side.fusion,
            weighting=side.weighting,
            distiller=side.distiller,
            codec=side.codec,
            codec_down=side.codec_down,
            samples_per_round=self.samples_per_round,
            send=self.broadcast,
            validation=side.validation,
            labelled=side.proxy_labelled,
            sampling=side.sampling,
        )
