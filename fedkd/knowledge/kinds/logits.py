"""Raw outputs on the proxy set: class scores, or predicted numbers (FedMD: Li & Wang, 2019)."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.kinds.base import Axis, Kind, TrainedClient
from fedkd.knowledge.package import Package


@dataclass(frozen=True, kw_only=True)
class Logits(Kind):
    """Raw outputs on the proxy set: class scores, or predicted numbers in a regression."""

    needs_proxy: ClassVar[bool] = True
    axes: ClassVar[tuple[Axis, Axis] | None] = ("samples", "outputs")

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return [samples, outputs] with the ids."""
        assert ids is not None
        return Package("logits", {"values": client.on_proxy(ids)}, ids=ids)
