"""Class probabilities on the proxy set (DS-FL: Itahara et al., 2020)."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.kinds.base import Axis, Kind, TrainedClient
from fedkd.knowledge.package import Package
from fedkd.knowledge.softmax import softmax


@dataclass(frozen=True, kw_only=True)
class Probabilities(Kind):
    """Softmax of the outputs on the proxy set, untempered."""

    needs_proxy: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    axes: ClassVar[tuple[Axis, Axis] | None] = ("samples", "outputs")

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return [samples, classes] with the ids; rows sum to 1."""
        assert ids is not None
        return Package("probabilities", {"values": softmax(client.on_proxy(ids))}, ids=ids)
