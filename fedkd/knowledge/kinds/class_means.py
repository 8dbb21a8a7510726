"""Mean logits for each label over the client's own samples (FD: Jeong et al., 2018). No proxy set."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.kinds._by_label import means_by_label
from fedkd.knowledge.kinds.base import Axis, Kind, TrainedClient
from fedkd.knowledge.package import Package


@dataclass(frozen=True, kw_only=True)
class ClassMeans(Kind):
    """For each label the mean logit vector of the client's own samples, with how many there were."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    axes: ClassVar[tuple[Axis, Axis] | None] = ("outputs", "outputs")

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return [labels, classes] and counts [labels]; a label with count 0 says nothing, its row is to be ignored."""
        del ids
        outputs, targets = client.on_private()
        means, counts = means_by_label(outputs, targets, outputs.shape[-1])
        return Package("class_means", {"values": means}, counts=counts)
