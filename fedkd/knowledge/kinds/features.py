"""What a layer says of each of the client's own samples, with logits and labels (FedGKT: He, Annavaram & Avestimehr, 2020).

The server sees all of them sample by sample, by id. Labels leave the client as they are, and features say much of a sample: this is not private.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.kinds.base import Extent, Kind, TrainedClient
from fedkd.knowledge.package import Package

_LABEL = 8
"""Bytes of a label."""


@dataclass(frozen=True, kw_only=True)
class Features(Kind):
    """What a layer says of each of the client's own samples, with the network's logits and the true labels of these samples."""

    layer: str = "features"
    """The layer: the name of a submodule of the clients' network (`body.2`), or `features`, what its last layer sees."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    returns: ClassVar[str | None] = "logits"

    @property
    def split_layer(self) -> str | None:
        """The layer."""
        return self.layer

    def sizes(self, extent: Extent, up: Codec, down: Codec) -> tuple[int, int] | None:
        """Return the bytes of features, logits and labels up, and of logits down."""
        own = extent.count("own")
        features, logits = (own, *extent.shape_of(self.layer)), (own, extent.count("outputs"))
        return up.num_bytes(features) + up.num_bytes(logits) + _LABEL * own, down.num_bytes(logits)

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return `values` [samples, ...] and `logits` [samples, classes] with the ids and the targets of the samples."""
        del ids
        said = client.layer_on_private(self.layer)
        return Package(
            "features", {"values": said.layer, "logits": said.logits}, ids=said.ids, targets=said.targets
        )
