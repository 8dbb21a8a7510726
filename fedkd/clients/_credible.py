"""Clients that learn from the network that they received, as far as the server says it can be believed about each class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fedkd.clients.base import ClientStrategy, Situation


@dataclass(frozen=True, kw_only=True)
class Credible(ClientStrategy):
    """Asks the received network about the client's own samples, and remembers how far to believe it (`memory["credibility"]`)."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    receives: ClassVar[tuple[str, ...]] = ("credibility",)

    def remember(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return how far the received network can be believed about each class; nothing before anybody has said."""
        received = situation.received
        if received is None or received.kind != "credibility":
            return {}
        return {"credibility": received.values[:, 0]}

    def teacher(self, situation: Situation) -> Mapping[str, Tensor]:
        """Return the received weights."""
        return situation.start
