"""What crosses for one client, counted before anything runs: knowledge by its codec, evidence, and what goes down beside weights.

>>> ground = Ground(network, shape=(64,), samples=400, outputs=10)
>>> payload_of(method, ground)  # DS-FL: 400 x 10 probabilities of 4 bytes
Payload(up=16000, first=0, later=16000)
"""

from dataclasses import dataclass

import torch
from torch import nn

from fedkd.aggregation.evidence import evidence_bytes
from fedkd.assembly.method import Method
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.kinds.base import Axis
from fedkd.knowledge.kinds.updates import Updates
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import observe
from fedkd.objectives import layer_shapes


@dataclass(frozen=True, eq=False)
class Ground:
    """What the payload of a client depends on besides its method.

    Args:
        network: the network whose weights or features cross.
        shape: shape of one sample.
        samples: proxy samples that a round is about.
        outputs: classes, or numbers to predict.
        places: answers a sample, one for each place of a sequence or head of a network.
        own: samples of a client.
    """

    network: nn.Module
    shape: tuple[int, ...]
    samples: int
    outputs: int
    places: int = 1
    own: int = 0

    @property
    def features(self) -> int:
        """How many features the network has."""
        return int(observe(self.network, {"sample": torch.zeros(1, *self.shape)}).features.shape[-1])

    @property
    def weights(self) -> int:
        """Bytes of the network's state."""
        return sum(array.nelement() * array.element_size() for array in self.network.state_dict().values())

    def count(self, axis: Axis) -> int:
        """Return how many rows or columns of such a kind there are; a sample has a row for each of its places."""
        return int(getattr(self, axis)) * (self.places if axis == "samples" else 1)

    def shape_of(self, layer: str) -> tuple[int, ...]:
        """Return the shape of what a layer of the network says of one sample."""
        return layer_shapes(self.network, [layer], {"sample": torch.zeros(1, *self.shape)})[layer]


@dataclass(frozen=True)
class Payload:
    """Bytes of one client in a round: up, and down in the first round and in each later one."""

    up: int
    first: int
    later: int


def payload_of(method: Method, ground: Ground) -> Payload | None:
    """Return what crosses for one client, or the most that can; none for a kind of knowledge that does not say its shape.

    Knowledge about samples and labels comes down from the second round on, as in the first nobody has said anything.
    """
    kind = method.knowledge
    if kind is None:
        return Payload(0, 0, 0)
    evidence = evidence_bytes(method.weighting.sends, ground.samples, ground.outputs, ground.places)
    if isinstance(kind, Updates):
        up, down = (_coded(codec, ground) for codec in method.codecs)
        # Who did not take part in the round before is sent the weights themselves.
        return Payload(up, ground.weights, max(down, ground.weights))
    if isinstance(kind, Weights):
        first, later = method.strategy.sent_beside(ground.network, ground.outputs)
        sent = ground.weights if method.strategy.sends_weights else 0
        return Payload(ground.weights + evidence, sent + first, sent + later)
    sizes = kind.sizes(ground, *method.codecs)
    return None if sizes is None else Payload(sizes[0] + evidence, 0, sizes[1])


def _coded(codec: Codec, ground: Ground) -> int:
    """Return the bytes of an update of the network, or the most that they can be."""
    return sum(codec.num_bytes(tuple(array.shape)) for array in ground.network.state_dict().values())
