"""What a kind of knowledge must say: what it needs, and how it is read off a trained client."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from fedkd.foundation.parts import Part
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.package import Package

Axis = Literal["samples", "own", "outputs", "features"]
"""Proxy samples of the round, a client's own samples, classes or numbers to predict, what the last layer sees."""


class OwnAnswers(NamedTuple):
    """What a client's network says about the client's own training samples.

    Attributes:
        ids: [n] of the samples.
        layer: [n, ...] what a layer says.
        logits: [n, outputs] the raw outputs.
        targets: [n, ...] the true targets.
    """

    ids: Int[Tensor, " n"]
    layer: Float[Tensor, "n ..."]
    logits: Float[Tensor, "n ... outputs"]
    targets: Shaped[Tensor, "n ..."]


@runtime_checkable
class Extent(Protocol):
    """How much there is of what can cross."""

    def count(self, axis: Axis) -> int:
        """Return how many rows or columns of such a kind there are."""

    def shape_of(self, layer: str) -> tuple[int, ...]:
        """Return the shape of what a layer of the clients' networks says of one sample."""


@runtime_checkable
class TrainedClient(Protocol):
    """What can be read off a client after training; nothing is computed before it is asked for."""

    @property
    def num_outputs(self) -> int:
        """Classes, or numbers to predict."""

    def weights(self) -> Mapping[str, Tensor]:
        """Return the network's weights by name."""

    def began_with(self) -> Mapping[str, Tensor]:
        """Return the weights that the client began its round with, by the same names."""

    def on_proxy(self, ids: Int[Tensor, " n"]) -> Float[Tensor, "n ... outputs"]:
        """Return the raw outputs on these proxy samples, in this order."""

    def on_private(self) -> tuple[Float[Tensor, "n ... outputs"], Shaped[Tensor, "n ..."]]:
        """Return the raw outputs on the client's own training samples, and their targets."""

    def private_targets(self) -> Shaped[Tensor, "n ..."]:
        """Return the targets of the client's own training samples."""

    def features_on_private(self) -> tuple[Float[Tensor, "n width"], Shaped[Tensor, "n ..."]]:
        """Return what the last layer sees of the client's own training samples, and their targets."""

    def layer_on_private(self, layer: str) -> OwnAnswers:
        """Return what a layer and the whole network say about the client's own training samples, with their ids and targets."""


class Kind(Part, ABC):
    """One kind of knowledge."""

    needs_proxy: ClassVar[bool] = False
    """Whether it is about a public proxy set."""

    needs_classes: ClassVar[bool] = False
    """Whether it makes sense only for outputs that are distributions: over classes, symbols or items."""

    by_class: ClassVar[bool] = False
    """Whether it makes sense only where a sample is of one class."""

    mixed_models: ClassVar[bool] = True
    """Whether clients of different architectures can share it."""

    equal_features: ClassVar[bool] = False
    """Whether the networks of all clients must have features of one width."""

    own_classes: ClassVar[bool] = False
    """Whether a client says nothing, and not a row of zeros, about classes that it does not have; then its size is the most that it can be."""

    axes: ClassVar[tuple[Axis, Axis] | None] = None
    """What the rows and the columns of its values are; none for weights, and where it does not say, so that no bytes are foretold."""

    returns: ClassVar[str | None] = None
    """The kind of what the server says in return, where that is another one."""

    @property
    def split_layer(self) -> str | None:
        """Layer of the clients' networks whose outputs on their own samples it is; the student reads them in place of samples. Most often none."""
        return None

    def sizes(self, extent: Extent, up: Codec, down: Codec) -> tuple[int, int] | None:
        """Return the bytes of what one client says in a round and of what it is told in return; none where that cannot be foretold.

        Args:
            extent: says how many samples, outputs and features there are.
            up: the codec of what the client says.
            down: the codec of what it is told.
        """
        if self.axes is None:
            return None
        rows, width = (extent.count(axis) for axis in self.axes)
        return up.num_bytes((rows, width)), down.num_bytes((rows, width))

    @abstractmethod
    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Read the knowledge off a trained client.

        Args:
            client: the client after its training.
            ids: the proxy samples the server asks about; none for kinds that need no proxy set.
        """
