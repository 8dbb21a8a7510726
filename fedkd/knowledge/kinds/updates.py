"""What training has changed of the weights (federated averaging of model updates: Konecny et al., 2016)."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.kinds.base import TrainedClient
from fedkd.knowledge.kinds.weights import Weights
from fedkd.knowledge.package import Package

UPDATES = "updates"
"""The kind of such packages, in both directions."""


@dataclass(frozen=True, kw_only=True)
class Updates(Weights):
    """The difference between the weights that a client ends the round with and those that it began it with; a codec may shorten it."""

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return the difference of every array of the network, by name."""
        del ids
        before = client.began_with()
        return Package(UPDATES, {name: after - before[name] for name, after in client.weights().items()})


def updated(weights: Mapping[str, Tensor], updates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights after an update, each in the precision that it had.

    Raises:
        KeyError: the update leaves some of them out.
    """
    return {name: (weight + updates[name]).to(weight.dtype) for name, weight in weights.items()}
