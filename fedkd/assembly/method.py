"""The parts of a method, as a recipe names them."""

from dataclasses import dataclass

from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.weightings.base import Weighting
from fedkd.clients import ClientStrategy
from fedkd.distillation import Distiller
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.kinds.base import Kind
from fedkd.strategies import ServerStrategy


@dataclass(frozen=True)
class Method:
    """The parts that a recipe names."""

    name: str
    strategy: ServerStrategy
    client: ClientStrategy
    knowledge: Kind | None
    codec: Codec
    codec_down: Codec | None
    weighting: Weighting
    fusion: Fusion | None
    distiller: Distiller | None
    pool: bool

    @property
    def codecs(self) -> tuple[Codec, Codec]:
        """The codecs up and down; without one of its own, what goes down is sent as what comes up."""
        return self.codec, self.codec_down or self.codec

    @property
    def split_layer(self) -> str | None:
        """Layer of the clients' networks that the student reads in place of samples; none for a student that reads samples."""
        return None if self.knowledge is None else self.knowledge.split_layer

    @property
    def own_classes(self) -> bool:
        """Whether clients speak of the classes that they have alone."""
        return self.knowledge is not None and self.knowledge.own_classes

    @property
    def mixes(self) -> bool:
        """Whether clients may have different architectures: their networks do not meet, or do so by group."""
        return self.strategy.mixed_models or self.client.carries_student

    @property
    def needs_proxy(self) -> bool:
        """Whether server or clients work on a proxy set."""
        return self.strategy.needs_proxy or self.client.needs_proxy

    @property
    def label_learners(self) -> frozenset[str]:
        """The slots whose parts learn from true labels of the proxy set; a student that reads a layer learns those of the clients' samples."""
        public = self.split_layer is None
        learns = {
            "client": self.client.learns_proxy_labels,
            "distiller": public and self.distiller is not None and self.distiller.label_weight > 0,
            "strategy": self.strategy.needs_proxy_labels,
        }
        return frozenset(slot for slot, does in learns.items() if does)

    @property
    def remembers(self) -> bool:
        """Whether clients keep anything from round to round: their networks, the weights that they were sent, or copies of what was said."""
        copies = any(codec.remembers for codec in self.codecs)
        return self.client.persistent or self.strategy.holds_weights or copies
