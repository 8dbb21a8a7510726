"""What an engine must say: which clients are trained together, and in what precision."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from fedkd.engine.precision import Precision
from fedkd.foundation.parts import Part


@dataclass(frozen=True)
class Work:
    """What is known of a client before its round.

    Args:
        architecture: its network's architecture, as `repr` of the model.
        size: number of its training samples.
    """

    architecture: str
    size: int


@dataclass(frozen=True)
class Question:
    """What the choice of an engine for one architecture depends on.

    Args:
        architecture: `identity` of the model.
        network: a network of it.
        shape: of one input.
        batch_size: of the clients' training.
        device: where clients train.
        strategy: name of the clients' strategy.
        clients: of this architecture in a round, as many as could be trained at once: 0 to `LARGEST`.
        together: whether strategy and runtime let clients be trained together at all.
    """

    architecture: str
    network: nn.Module
    shape: tuple[int, ...]
    batch_size: int
    device: str
    strategy: str
    clients: int
    together: bool = True


@dataclass(frozen=True, kw_only=True)
class Engine(Part, ABC):
    """How clients are trained, or who decides that; every engine gives the same result, to float tolerance."""

    precision: Precision = "float32"
    """Precision of forward and backward passes while clients train; weights and optimisers stay in float32."""

    @abstractmethod
    def chosen(self, questions: Iterable[Question]) -> "TrainingEngine":
        """Return the engine that trains clients of these architectures."""


class TrainingEngine(Engine):
    """An engine that trains: it was named, or it is what `auto` chose."""

    def chosen(self, questions: Iterable[Question]) -> "TrainingEngine":
        """Return itself."""
        del questions
        return self

    @abstractmethod
    def cohorts(self, works: Sequence[Work]) -> list[list[int]]:
        """Return which clients are trained together, as positions, in the order in which their answers count.

        It follows from the clients alone and never from the number of workers, so results do not depend on that either.
        """

    @property
    def compiles(self) -> bool:
        """Whether the steps of clients that are trained at once are compiled."""
        return False

    @abstractmethod
    def vectorises(self, architecture: str) -> bool:
        """Return whether clients of this architecture, by `identity` of the model, are trained at once."""
