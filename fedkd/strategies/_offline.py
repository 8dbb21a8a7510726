"""The server of offline distillation: teachers send their networks, a student of any architecture learns from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.folding import FUSION
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.mean_probabilities import MeanProbabilities
from fedkd.aggregation.weightings.base import Weighting
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.knowledge import ARRAYS
from fedkd.models.base import predict
from fedkd.objectives import predict_with_layers
from fedkd.strategies._faculty import Faculty, Lesson
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._generations import Together
from fedkd.strategies._replies import MeanMetrics, require_known
from fedkd.tasks import Classification, Task

_TAUGHT, _WEIGHTS, _PAST = "taught", "weights", "past"
"""Names in the strategy's state: the clients that have taught, how much each counted, and students of the past."""


class OfflineDistillation(Federated):
    """Lets clients train, takes their networks, and distils what they say about the proxy set into a student.

    Args:
        network_in: returns a network with initial weights for the student of a round; the same one each time for a round, and for all
            rounds alike where the student goes on learning.
        teachers: a network for each architecture of the clients, by name.
        proxy: the samples that the student learns on.
        architecture_of: name of each client's architecture; clients that are not named have the first.
        generations: from the second round on the last student teaches a fresh one, and clients rest.
        trained: weights with which the clients begin, in turn; without any they begin with their own.
        ensemble: whether the students of all generations are kept and reported together.
        task, fusion, weighting, distiller, validation, labelled: as in `FedDF`; probabilities are averaged by default.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        network_in: Callable[[int], nn.Module],
        teachers: nn.Module | Mapping[str, nn.Module],
        proxy: Samples,
        architecture_of: Mapping[int, str] | None = None,
        trained: Sequence[Mapping[str, Tensor]] = (),
        generations: bool = False,
        ensemble: bool = False,
        task: Task | None = None,
        fusion: Fusion | None = None,
        weighting: Weighting | None = None,
        distiller: Distiller | None = None,
        validation: Samples | None = None,
        labelled: bool = False,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self._network_in, self.generations, self.ensemble = network_in, generations, ensemble
        self.proxy, self.validation, self.task = proxy, validation, task or Classification()
        self.fusion, self.weighting = fusion or MeanProbabilities(), weighting or Uniform()
        self.distiller = distiller or Distiller()
        require_known(self.weighting, labels=labelled, validation=validation is not None)
        self._faculty = Faculty(
            {"model": teachers} if isinstance(teachers, nn.Module) else teachers,
            architecture_of or {},
            proxy=proxy,
            fusion=self.fusion,
            weighting=self.weighting,
            task=self.task,
            validation=validation,
            holds=self.distiller.sequences.beam > 0,
        )
        self._trained = [ArrayRecord(dict(weights)) for weights in trained]
        self._weights: Mapping[int, float] = {}
        self._past: dict[int, nn.Module] = {}
        self._arrays = ArrayRecord()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the clients to train, from the weights that each was given; in a later generation nobody is asked."""
        self._arrays, self.failures = arrays, []
        if self._rests(server_round):
            self._connect(grid)
            return []
        options = ConfigRecord({**config, "server-round": server_round})
        first = self._trained if server_round == 1 else []
        contents = [RecordDict({ARRAYS: weights, "config": options}) for weights in first]
        contents = contents or [RecordDict({"config": options})]
        clients = self.participants(server_round, grid)
        return self.messages({one: contents[one % len(contents)] for one in clients}, MessageType.TRAIN)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Hear the teachers, let the student learn, and return its weights."""
        student, metrics = self.network_of(server_round), MeanMetrics()
        if not self.generations:
            student.load_state_dict(self._arrays.to_torch_state_dict())
        if self._rests(server_round):
            for _ in replies:  # nobody was asked
                pass
            lesson = self._of_last(server_round)
        else:
            generator = self.streams.torch(FUSION, round=server_round)
            answers = self.sift(replies, lambda message: self._faculty.read(self._sender(message), message))
            lesson = self._faculty.hear(answers, self.distiller.teacher_layers, student, generator)
            metrics, self._weights = self._faculty.metrics, self._faculty.weights
        taught = self.distiller.distil(
            student,
            self.proxy.inputs,
            lesson.scores,
            task=self.task,
            generator=self.streams.torch("distil", round=server_round),
            validate=None if self.validation is None else self._faculty.score,
            targets=self.proxy.targets,
            layers=lesson.layers,
            shares=lesson.shares,
            relations=lesson.relations,
            speak=lesson.speak,
        )
        if taught.shares and not self._rests(server_round):
            self._weights = {int(name): share for name, share in taught.shares.items()}
        if self.ensemble:
            self._past[server_round] = student
        return ArrayRecord(student.state_dict()), metrics.result()

    def network_of(self, server_round: int, student: nn.Module | None = None) -> nn.Module:
        """Return a network for the student of a round, which later generations have of their own."""
        del student
        return self._network_in(server_round)

    def further(self) -> Mapping[str, nn.Module]:
        """Return the students of all generations as one network, where they are kept."""
        return {"generations": Together(list(self._past.values()), self.task)} if self._past else {}

    def state(self) -> dict[str, Tensor]:
        """Return who has taught, how much each counted, and the students of the past that are kept."""
        past = {
            f"{_PAST}/{number}/{name}": weight
            for number, network in self._past.items()
            for name, weight in network.state_dict().items()
        }
        if not self._weights:
            return past
        weights = torch.tensor([*self._weights.values()], dtype=torch.float64)
        return {_TAUGHT: torch.tensor([*self._weights]), _WEIGHTS: weights, **past}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what was remembered."""
        if _TAUGHT in state:
            self._usable = state[_TAUGHT].tolist()
            self._weights = dict(zip(self._usable, state[_WEIGHTS].tolist(), strict=True))
        for number in sorted({int(name.split("/")[1]) for name in state if name.startswith(f"{_PAST}/")}):
            prefix = f"{_PAST}/{number}/"
            own = {
                name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)
            }
            self._past[number] = self.network_of(number)
            self._past[number].load_state_dict(own)

    def teacher_weights(self) -> Mapping[int, float] | None:
        """Return each client's mean weight over the proxy samples when it taught last."""
        return self._weights

    def accounts(self, server_round: int) -> Mapping[str, float]:
        """Return the privacy that noisy votes have spent in all rounds so far, or noise on what clients say of themselves."""
        votes = (1 if self.generations else server_round) * len(self.proxy)
        return {**self.weighting.accounts(), **self.fusion.accounts(votes)}

    def _rests(self, server_round: int) -> bool:
        return self.generations and server_round > 1

    def _of_last(self, server_round: int) -> Lesson:
        """Return what the last round's student says."""
        last = self.network_of(server_round - 1)
        last.load_state_dict(self._arrays.to_torch_state_dict())
        outputs, layers = predict_with_layers(last, self.distiller.teacher_layers, self.proxy.inputs)
        named = {f"last/{name}": layer for name, layer in layers.items()}
        return Lesson(outputs, named, {"last": 1.0}, speak=lambda inputs: predict(last, inputs))

    def _sender(self, message: Message) -> int:
        return self.client_of(message.metadata.src_node_id)
