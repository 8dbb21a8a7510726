"""Clients of different architectures: each architecture has a share of the clients.

>>> MODELS.create({"name": "mixed", "shares": {"mlp": 0.5, "lenet": 0.5}}, key="model").per_client(4)
(MLP(...), LeNet(...), MLP(...), LeNet(...))
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.options import Positive
from fedkd.models import MODELS
from fedkd.models.base import Model


@dataclass(frozen=True, kw_only=True)
class Mixed(Model):
    """Several architectures over the clients, by shares."""

    shares: dict[str, Positive] = field(default_factory=lambda: {"mlp": 0.5, "logistic": 0.5})
    """Share of the clients that each architecture gets; shares are divided by their sum."""

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Architectures with options, by a name of your own: `{wide: {name: mlp, hidden: [256]}}`; other names are models as they are."""

    rule: Literal["interleaved", "blocks"] = "interleaved"
    """How shares are laid over client numbers: spread evenly, or one block of clients after the other."""

    def __post_init__(self) -> None:
        """Refuse an empty mixture and definitions that nothing uses."""
        if not self.shares:
            raise InvalidOption("model.shares", self.shares, "at least one architecture with its share")
        for unused in self.models.keys() - self.shares.keys():
            raise InvalidOption(
                "model.models", unused, f"names that stand in model.shares ({', '.join(self.shares)})"
            )

    def architectures(self) -> Mapping[str, Model]:
        """Return each architecture by its name, in the order of the shares."""
        return {
            name: MODELS.create(self.models.get(name, {"name": name}), key=f"model.models.{name}")
            for name in self.shares
        }

    def per_client(self, clients: int) -> tuple[Model, ...]:
        """Return each client's model; counts differ from exact shares by less than one client."""
        named = self.architectures()
        total = sum(self.shares.values())
        wanted = {name: clients * share / total for name, share in self.shares.items()}
        given = dict.fromkeys(named, 0)
        order = []
        for position in range(1, clients + 1):
            # The architecture that is furthest behind its share gets the next client.
            name = max(named, key=lambda name: wanted[name] * position / clients - given[name])
            given[name] += 1
            order.append(name)
        if self.rule == "blocks":
            order.sort(key=list(named).index)
        return tuple(named[name] for name in order)

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Refuse: a mixture is not one network."""
        del shape, num_outputs
        raise IllegalCombination(
            "model=mixed is several architectures; this place needs one: name it with student=NAME"
        )
