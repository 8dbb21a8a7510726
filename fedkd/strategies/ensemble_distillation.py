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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.folding import FUSION
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.teachers import Need
from fedkd.aggregation.weightings.base import Weighting
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.knowledge import ARRAYS
from fedkd.strategies._ensemble import Ensemble, Sent, tensors
from fedkd.strategies._faculty import Faculty
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._replies import (
    require_known,
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
        self._faculty = Faculty(
            self.students,
            self.architecture_of,
            proxy=proxy,
            fusion=self.fusion,
            weighting=self.weighting,
            task=self.task,
            validation=validation,
            holds=self.distiller.sequences.beam > 0,
        )
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
            for name in sorted({self._faculty.architecture(client) for client in clients})
        }
        return self.messages(
            {client: contents[self._faculty.architecture(client)] for client in clients}, MessageType.TRAIN
        )

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average, let the ensemble speak, distil, and return the reported student's weights."""
        ensemble = self._hear(replies)
        for name, mean in ensemble.means.items():
            self.students[name].load_state_dict(tensors(mean.result()))
        generator = self.streams.torch(FUSION, round=server_round)
        fused = self._faculty.fused(ensemble.folding, self.students[self._reported], generator)
        self._weights, speak = fused.weights, self._faculty.speaker(fused.weights)
        for name, student in self.students.items():
            self.distiller.distil(
                student,
                self.proxy.inputs,
                fused.scores,
                task=self.task,
                generator=self.streams.torch(f"distil/{name}", round=server_round),
                validate=self._faculty.score if self.validation is not None else None,
                targets=self.proxy.targets,
                layers=ensemble.layers_for(name),
                relations=fused.relations,
                speak=speak,
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
        name = self._faculty.architecture(client)
        return {ARRAYS: arrays if name == self._reported else ArrayRecord(self.students[name].state_dict())}

    def _hear(self, replies: Iterable[Message]) -> Ensemble:
        """Let each network that comes say what it has to say, and let it go; return those that count."""
        everyone, better = Ensemble(self._faculty.folding()), Ensemble(self._faculty.folding())
        drops, found, chance = self.weighting.leaves_out, False, self._faculty.chance
        for answer in self.sift(replies, self._read):
            name = self._faculty.architecture(answer.client)
            heard = self._faculty.listen(answer, self.distiller.teacher_layers)
            everyone.add(answer, name, heard)
            if drops and heard.score is not None and heard.score > chance:
                better.add(answer, name, heard)
                found = True
            del answer  # else it would be held until the next one is there
        return better if found else everyone

    def _read(self, message: Message) -> Sent:
        return self._faculty.read(self.client_of(message.metadata.src_node_id), message)


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
