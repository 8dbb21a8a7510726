"""The weights of the whole network (FedAvg: McMahan et al., 2017)."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.kinds.base import Kind, TrainedClient
from fedkd.knowledge.package import Package


@dataclass(frozen=True, kw_only=True)
class Weights(Kind):
    """The network itself; clients of different architectures cannot be averaged, only grouped."""

    mixed_models: ClassVar[bool] = False

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return every array of the network by name."""
        del ids
        return Package("weights", dict(client.weights()))
