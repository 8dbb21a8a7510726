"""The mean feature vector of each class over the client's own samples (FedProto: Tan et al., 2022). No proxy set.

A client with the classes Y sends |Y| rows. Which ones they are is told by its counts of all classes, 8 bytes each, which are no payload.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.kinds._by_label import means_by_label
from fedkd.knowledge.kinds.base import Axis, Kind, TrainedClient
from fedkd.knowledge.package import Package


@dataclass(frozen=True, kw_only=True)
class Prototypes(Kind):
    """For each class that the client has the mean of what the last layer sees of its samples, with how many there are."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    equal_features: ClassVar[bool] = True
    own_classes: ClassVar[bool] = True
    axes: ClassVar[tuple[Axis, Axis] | None] = ("outputs", "features")

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return counts [classes], and [own classes, width] of those with a count above 0, in their order."""
        del ids
        features, targets = client.features_on_private()
        means, counts = means_by_label(features, targets, client.num_outputs)
        return Package("prototypes", {"values": means[counts > 0]}, counts=counts)
