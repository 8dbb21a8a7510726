"""What a recipe must say of a server strategy, and what it can be made of."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.teachers import Need
from fedkd.aggregation.weightings.base import Weighting
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.foundation.parts import Part
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.codecs.base import Codec
from fedkd.models.base import Model
from fedkd.strategies._federated import Federated, Sampling
from fedkd.tasks import Task


@dataclass(frozen=True)
class ServerSide:
    """Everything that a server strategy can be made of.

    Args:
        streams: the random streams of the run.
        task: what outputs mean.
        num_outputs: classes, or numbers to predict.
        sampling: who takes part in a round.
        students: networks with initial weights by architecture; the first is the one that is reported.
        architecture_of: name of each client's architecture.
        proxy: the proxy set, if there is one.
        validation: data that chooses.
        weighting, fusion, distiller, codec: the parts that the recipe names.
        codec_down: the codec of what goes down; none is the one of what comes up.
        proxy_labelled: whether the labels of the proxy set may be used.
        trained: weights with which clients begin, where the strategy names checkpoints, in turn; empty for none.
        fresh: returns a network of a model, or of the student's, with initial weights that are a round's own.
        student_reads: shape of what the student reads of a sample.
    """

    streams: Streams
    task: Task
    num_outputs: int
    sampling: Sampling
    students: Mapping[str, nn.Module]
    architecture_of: Mapping[int, str]
    proxy: Samples | None
    validation: Samples
    weighting: Weighting
    fusion: Fusion | None
    distiller: Distiller | None
    codec: Codec
    codec_down: Codec | None = None
    proxy_labelled: bool = False
    trained: Sequence[Mapping[str, Tensor]] = ()
    fresh: Callable[[Model | None, int], nn.Module] | None = None
    student_reads: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ServerStrategy(Part, ABC):
    """A server strategy as a recipe names it."""

    takes: ClassVar[tuple[str | None, ...]]
    """The kinds of knowledge that it works on; None is none at all."""

    needs_proxy: ClassVar[bool] = False
    """Whether it works on a public proxy set."""

    needs_classes: ClassVar[bool] = False
    """Whether it makes sense only for outputs that are distributions: over classes, symbols or items."""

    by_class: ClassVar[bool] = False
    """Whether it makes sense only where a sample is of one class."""

    needs_fusion: ClassVar[bool] = False
    """Whether it fuses the outputs of teachers."""

    needs_distiller: ClassVar[bool] = False
    """Whether its student learns by a distiller, without which there would be no method."""

    needs_proxy_labels: ClassVar[bool] = False
    """Whether it learns from true labels of the proxy set."""

    asks_alike: ClassVar[bool] = True
    """Whether each round is about equally many proxy samples; else about as many at most."""

    needs_head: ClassVar[bool] = False
    """Whether it works on the last layer of the networks: a linear layer `head` from features to outputs."""

    offers: ClassVar[frozenset[Need]] = frozenset()
    """What it knows for weightings that need more than what teachers say; labels only where the proxy set has some."""

    needs_float32: ClassVar[bool] = False
    """Whether what crosses is plain weights, which no codec touches."""

    keeps_copies: ClassVar[bool] = False
    """Whether it keeps what it and each client said last, so that a codec may send differences only."""

    holds_weights: ClassVar[bool] = False
    """Whether clients keep the weights that they were sent, so that later only what has changed of them goes down."""

    mixed_models: ClassVar[bool] = True
    """Whether clients may have different architectures."""

    needs_groups: ClassVar[bool] = False
    """Whether the server keeps a network for each architecture of the clients."""

    distils_groups: ClassVar[bool] = False
    """Whether the network of each architecture learns in a round, from the layers of its own clients."""

    teachers_apart: ClassVar[bool] = False
    """Whether the student learns from the layers of each teacher's network apart."""

    sends_weights: ClassVar[bool] = True
    """Whether weights go down to clients where weights come up."""

    has_teachers: ClassVar[bool] = False
    """Whether the server has the clients' networks while it distils, so that a student can learn from their layers."""

    has_student: ClassVar[bool] = True
    """Whether the server ends up with a network of its own, which reads samples."""

    tells_of_own: ClassVar[bool] = False
    """Whether it tells each client something about the client's own samples, in place of proxy samples."""

    @property
    def rests(self) -> bool:
        """Whether clients take part in the first round only, so that they must keep what they have learned."""
        return False

    @property
    def least_rounds(self) -> int:
        """Fewest rounds after which the student has learned."""
        return 1

    @property
    def distillations(self) -> int:
        """How often the student is distilled in a round."""
        return 1

    def asks_about(self, count: int) -> int:
        """Return how many proxy samples a round is about, where there are so many."""
        return count

    @property
    def trained(self) -> tuple[str, ...]:
        """Return run folders and files of weights with which clients begin, in turn."""
        return ()

    def further_models(self) -> Mapping[str, Model]:
        """Return models that the server needs beside those of clients and student, by the key that names each."""
        return {}

    @abstractmethod
    def create(self, side: ServerSide) -> Federated:
        """Return the Flower strategy."""

    def sent_beside(self, network: nn.Module, num_outputs: int) -> tuple[int, int]:
        """Return the payload in bytes that a client is sent beside weights, in the first round and in each later one.

        Args:
            network: the network whose weights cross.
            num_outputs: classes, or numbers to predict.
        """
        del network, num_outputs
        return 0, 0
