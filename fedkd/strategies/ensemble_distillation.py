"""Ensemble distillation of clients' networks (FedDF).

Lin et al., "Ensemble Distillation for Robust Model Fusion in Federated Learning" (NeurIPS 2020), Algorithms 1 and 3:

    w <- sum_k (n_k / n) w_k
    w <- minimise mean_x D(fuse_k f(x; w_k), f(x; w)),   x public samples, D the KL from the ensemble

Clients send weights. The server averages them (by architecture, where there are several), and lets each average learn
what all received networks together say about unlabelled public samples.

Terms of the distiller that learn from layers of the teachers' networks see the mean of the clients' layers, by architecture; clients begin a
round with the same weights, so that their channels correspond.

Differs from the paper: passes over the whole proxy set in place of random batches up to 10,000 steps.
"""

import copy
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.evidence import read_evidence
from fedkd.aggregation.folding import FUSION, Folding
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.sums import Array
from fedkd.aggregation.teachers import Need
from fedkd.aggregation.weightings.base import Weighting
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.knowledge import ARRAYS
from fedkd.models._layout import lay_out
from fedkd.models.base import predict
from fedkd.objectives import predict_with_layers
from fedkd.strategies._ensemble import Ensemble, Sent, tensors
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._replies import (
    Shapes,
    read_weights,
    require_known,
    shapes_of,
)
from fedkd.strategies.base import ServerSide, ServerStrategy
from fedkd.tasks import Classification, Task


class FedDF(Federated):
    """Averages weights by architecture, then distils the ensemble of all clients into each average.

    Args:
        students: a network for each architecture, by name; the first one is reported, and its weights are the `arrays` that
            Flower hands from round to round. One network stands for a single architecture.
        proxy: unlabelled public samples.
        architecture_of: name of each client's architecture; clients that are not named have the first.
        task: what outputs mean.
        fusion, weighting: how the clients' outputs become one; by default the mean of logits, every client alike.
        distiller: how each average learns.
        validation: data for early stopping, and for weightings that go by scores on it.
        labelled: whether the labels of the proxy set may be used to weigh clients.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        students: nn.Module | Mapping[str, nn.Module],
        proxy: Samples,
        architecture_of: Mapping[int, str] | None = None,
        task: Task | None = None,
        fusion: Fusion | None = None,
        weighting: Weighting | None = None,
        distiller: Distiller | None = None,
        validation: Samples | None = None,
        labelled: bool = False,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.students = {"model": students} if isinstance(students, nn.Module) else dict(students)
        self._reported = next(iter(self.students))
        self.architecture_of = architecture_of or {}
        self.proxy, self.validation, self.task = proxy, validation, task or Classification()
        self.fusion, self.weighting = fusion or MeanLogits(), weighting or Uniform()
        self.distiller = distiller or Distiller()
        require_known(self.weighting, labels=labelled, validation=validation is not None)
        self._labels = proxy.targets if "labels" in self.weighting.needs else None
        self._teachers: dict[str, nn.Module] = {}
        self._shapes: dict[str, Shapes] = {}
        self._weights: Mapping[int, float] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client the weights of its architecture."""
        self.failures = []
        self.students[self._reported].load_state_dict(arrays.to_torch_state_dict())
        options = ConfigRecord({**config, "server-round": server_round})
        clients = self.participants(server_round, grid)
        contents = {
            name: RecordDict({ARRAYS: ArrayRecord(self.students[name].state_dict()), "config": options})
            for name in sorted({self._architecture(client) for client in clients})
        }
        return self.messages(
            {client: contents[self._architecture(client)] for client in clients}, MessageType.TRAIN
        )

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average, let the ensemble speak, distil, and return the reported student's weights."""
        ensemble = self._hear(replies)
        for name, mean in ensemble.means.items():
            self.students[name].load_state_dict(tensors(mean.result()))
        said = None
        if "student" in self.weighting.needs:
            said = predict(self.students[self._reported], self.proxy.inputs)
        generator = self.streams.torch(FUSION, round=server_round)
        fused = ensemble.folding.result(student=said, generator=generator)
        self._weights = fused.weights
        for name, student in self.students.items():
            self.distiller.distil(
                student,
                self.proxy.inputs,
                fused.scores,
                task=self.task,
                generator=self.streams.torch(f"distil/{name}", round=server_round),
                validate=self._validate if self.validation is not None else None,
                targets=self.proxy.targets,
                layers=ensemble.layers_for(name),
                relations=fused.relations,
            )
        return ArrayRecord(self.students[self._reported].state_dict()), ensemble.metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return the weights of every architecture but the reported one."""
        return {
            f"{name}/{key}": weight
            for name, student in self.students.items()
            if name != self._reported
            for key, weight in student.state_dict().items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the weights of the other architectures."""
        for name, student in self.students.items():
            own = {
                key.removeprefix(f"{name}/"): weight
                for key, weight in state.items()
                if key.startswith(f"{name}/")
            }
            if own:
                student.load_state_dict(own)

    def teacher_weights(self) -> Mapping[int, float] | None:
        """Return each client's mean weight over the proxy samples of the last round."""
        return self._weights

    def accounts(self, server_round: int) -> Mapping[str, float]:
        """Return the privacy that noisy votes have spent in all rounds so far, or noise on what clients say of themselves."""
        return {**self.weighting.accounts(), **self.fusion.accounts(server_round * len(self.proxy))}

    def judged(self, client: int, arrays: ArrayRecord) -> Mapping[str, ArrayRecord]:
        """Return the weights of the client's architecture."""
        name = self._architecture(client)
        return {ARRAYS: arrays if name == self._reported else ArrayRecord(self.students[name].state_dict())}

    def _architecture(self, client: int) -> str:
        return self.architecture_of.get(client, self._reported)

    def _hear(self, replies: Iterable[Message]) -> Ensemble:
        """Let each network that comes say what it has to say, and let it go; return those that count."""
        validation, chance = self.validation, 0.0
        if validation is not None:
            chance = self.task.chance(validation.targets)
        everyone, better = self._nobody(chance), self._nobody(chance)
        drops, found = self.weighting.leaves_out, False
        tapped = self.distiller.teacher_layers
        for answer in self.sift(replies, self._read):
            name = self._architecture(answer.client)
            teacher = self._teacher(name, answer.said.weights)
            outputs, layers = predict_with_layers(teacher, tapped, self.proxy.inputs)
            score = self._validate(teacher) if "validation" in self.weighting.needs else None
            everyone.add(answer, name, outputs, layers, score)
            if drops and score is not None and score > chance:
                better.add(answer, name, outputs, layers, score)
                found = True
            del answer  # else it would be held until the next one is there
        return better if found else everyone

    def _nobody(self, chance: float) -> Ensemble:
        """Return an ensemble that nobody counts in yet."""
        folding = Folding(
            self.fusion, self.weighting, samples=len(self.proxy), labels=self._labels, chance=chance
        )
        return Ensemble(folding)

    def _read(self, message: Message) -> Sent:
        name = self._architecture(self.client_of(message.metadata.src_node_id))
        if name not in self._shapes:
            self._shapes[name] = shapes_of(ArrayRecord(self.students[name].state_dict()))
        weights = read_weights(message.content, self._shapes[name])
        if not self.weighting.sends:
            return Sent(weights, {})
        samples, outputs = len(self.proxy), self._width
        return Sent(weights, read_evidence(message.content, self.weighting, samples=samples, outputs=outputs))

    @functools.cached_property
    def _width(self) -> int:
        some = self.proxy.take(torch.arange(1)).inputs
        return predict(self.students[self._reported], some).shape[-1]

    def _teacher(self, name: str, weights: Mapping[str, Array]) -> nn.Module:
        """Return a network with a client's weights; there is one of each architecture, which the next client takes over."""
        if name not in self._teachers:
            self._teachers[name] = copy.deepcopy(self.students[name])
            lay_out(self._teachers[name], self.proxy.inputs)
        self._teachers[name].load_state_dict(tensors(weights))
        return self._teachers[name]

    def _validate(self, network: nn.Module) -> float:
        assert self.validation is not None
        return self.task.metrics(predict(network, self.validation.inputs), self.validation.targets)[
            self.task.score
        ]


@dataclass(frozen=True, kw_only=True)
class EnsembleDistillation(ServerStrategy):
    """Weights cross; the server distils the ensemble of all clients into the average of each architecture."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)
    needs_proxy: ClassVar[bool] = True
    needs_fusion: ClassVar[bool] = True
    needs_groups: ClassVar[bool] = True
    distils_groups: ClassVar[bool] = True
    needs_distiller: ClassVar[bool] = True
    needs_float32: ClassVar[bool] = True
    has_teachers: ClassVar[bool] = True
    offers: ClassVar[frozenset[Need]] = frozenset({"labels", "student", "validation", "clients"})

    def create(self, side: ServerSide) -> FedDF:
        """Return the Flower strategy."""
        assert side.proxy is not None
        return FedDF(
            students=side.students,
            proxy=side.proxy,
            architecture_of=side.architecture_of,
            task=side.task,
            fusion=side.fusion,
            weighting=side.weighting,
            distiller=side.distiller,
            validation=side.validation,
            labelled=side.proxy_labelled,
            sampling=side.sampling,
        )
