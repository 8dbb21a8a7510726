"""Teachers whose networks come to the server one by one: what they say together, and each one's layers."""

import copy
import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from flwr.app import ArrayRecord, Message
from torch import Tensor, nn

from fedkd.aggregation.evidence import read_evidence
from fedkd.aggregation.folding import Folding, Fused
from fedkd.aggregation.fusions.base import Fusion, Relations
from fedkd.aggregation.weightings.base import Weighting
from fedkd.data.samples import Samples
from fedkd.distillation import Speak
from fedkd.models._layout import lay_out
from fedkd.models.base import predict
from fedkd.objectives import predict_with_layers
from fedkd.strategies._ensemble import Heard, Sent, tensors
from fedkd.strategies._federated import Answer
from fedkd.strategies._replies import MeanMetrics, Shapes, read_weights, shapes_of
from fedkd.tasks import Task


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is learned in a round.

    Args:
        scores: what the teachers say together about each proxy sample.
        layers: layers of the teachers' networks, as `<teacher>/<layer>`.
        shares: how much each teacher counts, on average over the samples.
        relations: which samples are alike, where the fusion says so.
        speak: says what the teachers say together about any samples.
    """

    scores: Tensor
    layers: Mapping[str, Tensor] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    relations: Relations | None = None
    speak: Speak | None = None


class Faculty:
    """Hears networks of several architectures, one at a time.

    Args:
        networks: one of each architecture by name, which the clients' weights are put into.
        architecture_of: name of each client's architecture; clients that are not named have the first.
        proxy: the samples that they are asked about.
        fusion, weighting: how they become one.
        task: what outputs mean.
        validation: data for weightings that go by scores on it.
        holds: whether the networks of a round are held, so that they can speak together about anything (`speaker`).
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        architecture_of: Mapping[int, str],
        *,
        proxy: Samples,
        fusion: Fusion,
        weighting: Weighting,
        task: Task,
        validation: Samples | None,
        holds: bool = False,
    ) -> None:
        self._networks = {name: copy.deepcopy(network) for name, network in networks.items()}
        self._shapes: dict[str, Shapes] = {
            name: shapes_of(ArrayRecord(network.state_dict())) for name, network in networks.items()
        }
        for network in self._networks.values():
            lay_out(network, proxy.inputs)
        self._architecture_of, self._first = architecture_of, next(iter(networks))
        self._proxy, self._fusion, self._weighting = proxy, fusion, weighting
        self._task, self._validation = task, validation
        self.metrics, self.weights = MeanMetrics(), dict[int, float]()
        self._holds, self._held = holds, dict[int, Sent]()

    def architecture(self, client: int) -> str:
        """Return the name of a client's architecture."""
        return self._architecture_of.get(client, self._first)

    @property
    def chance(self) -> float:
        """The score on validation data of the best network that does not look at its input; 0 without such data."""
        return 0.0 if self._validation is None else self._task.chance(self._validation.targets)

    def folding(self) -> Folding:
        """Return what fuses the answers of a round, in which nobody counts yet."""
        labels = self._proxy.targets if "labels" in self._weighting.needs else None
        return Folding(
            self._fusion, self._weighting, samples=len(self._proxy), labels=labels, chance=self.chance
        )

    def read(self, client: int, message: Message) -> Sent:
        """Return what a client sent.

        Raises:
            BadPackage: it cannot be used.
        """
        weights = read_weights(message.content, self._shapes[self.architecture(client)])
        if not self._weighting.sends:
            return Sent(weights, {})
        *places, outputs = self._answer
        sizes = {"samples": len(self._proxy), "outputs": outputs, "answers": math.prod(places)}
        return Sent(weights, read_evidence(message.content, self._weighting, **sizes))

    def listen(self, answer: Answer[Sent], layers: tuple[str, ...]) -> Heard:
        """Return what a client's network says, and what its layers do; the next one takes over its network."""
        network = self._networks[self.architecture(answer.client)]
        network.load_state_dict(tensors(answer.said.weights))
        outputs, tapped = predict_with_layers(network, layers, self._proxy.inputs)
        if self._holds:
            self._held[answer.client] = answer.said
        return Heard(outputs, tapped, self.score(network) if "validation" in self._weighting.needs else None)

    def hear(
        self,
        answers: Iterable[Answer[Sent]],
        layers: tuple[str, ...],
        student: nn.Module,
        generator: torch.Generator,
    ) -> Lesson:
        """Let each network say what it has to say, and let it go; then `metrics` and `weights` are those of these clients.

        Args:
            answers: what came, in any order.
            layers: names of layers to listen to.
            student: the student before it learns, for weightings that look at it.
            generator: for fusions that draw.
        """
        self.metrics, folding = MeanMetrics(), self.folding()
        heard: dict[str, Tensor] = {}
        for answer in answers:
            outputs, tapped, score = self.listen(answer, layers)
            folding.add(answer.client, outputs, size=answer.size, score=score, sent=answer.said.evidence)
            heard |= {f"{answer.client}/{name}": layer for name, layer in tapped.items()}
            self.metrics.add(answer.content)
            del answer  # else it would be held until the next one is there
        fused = self.fused(folding, student, generator)
        self.weights = dict(sorted(fused.weights.items()))
        whole = sum(self.weights.values())
        shares = {str(client): weight / whole for client, weight in self.weights.items()}
        return Lesson(fused.scores, heard, shares, fused.relations, self.speaker(fused.weights))

    def fused(self, folding: Folding, student: nn.Module, generator: torch.Generator) -> Fused:
        """Return what all that were counted say together; the student is asked where the weighting looks at it."""
        said = predict(student, self._proxy.inputs) if "student" in self._weighting.needs else None
        return folding.result(student=said, generator=generator)

    def speaker(self, weights: Mapping[int, float]) -> Speak:
        """Return what says what the networks that were heard last say together about any samples; they are let go with it.

        Args:
            weights: how much each client counts, on average over the proxy set; those that are not named do not count.
        """
        held, self._held = self._held, {}
        clients = [client for client in sorted(held) if client in weights]

        def speak(inputs: Mapping[str, Tensor]) -> Tensor:
            said = []
            for client in clients:
                network = self._networks[self.architecture(client)]
                network.load_state_dict(tensors(held[client].weights))
                said.append(predict(network, inputs))
            outputs = torch.stack(said)
            shares = torch.tensor([weights[client] for client in clients])[:, None]
            rows = outputs.flatten(1, -2)
            return self._fusion.fuse(rows, shares.expand(rows.shape[:2])).view_as(outputs[0])

        return speak

    def score(self, network: nn.Module) -> float:
        """Return a network's score on validation data."""
        assert self._validation is not None
        said = predict(network, self._validation.inputs)
        return self._task.metrics(said, self._validation.targets)[self._task.score]

    @functools.cached_property
    def _answer(self) -> tuple[int, ...]:
        """The shape of what a network says of a sample."""
        some = self._proxy.take(torch.arange(1)).inputs
        return tuple(predict(self._networks[self._first], some).shape[1:])
