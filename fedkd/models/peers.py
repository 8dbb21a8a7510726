"""Several networks side by side, which see the same samples and can teach each other (online distillation).

>>> MODELS.create({"name": "peers", "of": ["mlp", {"name": "mlp", "hidden": [16]}]}, key="model").network((1, 8, 8), 10)
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Index
from fedkd.models import MODELS
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class Peers(Model):
    """Networks side by side, of any architectures; one of them speaks for all when they are evaluated."""

    of: tuple[str | dict[str, Any], ...] = ("mlp", "mlp")
    """The networks: names of models, or models with options: `[mlp, {name: mlp, hidden: [16]}]`."""

    speaks: Index = 0
    """Place of the network whose answer counts, from 0."""

    gives_exits: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse fewer than two networks, and one that speaks without being there."""
        if len(self.of) < 2:
            raise InvalidOption("model.of", list(self.of), "at least two networks")
        if self.speaks >= len(self.of):
            raise InvalidOption(
                "model.speaks", self.speaks, f"the place of a network, at most {len(self.of) - 1}"
            )
        for place, model in enumerate(self.models()):
            if model.view is not None:
                raise InvalidOption(
                    f"model.of[{place}].view",
                    model.view,
                    "no view: networks side by side read the same, model.view",
                )

    def models(self) -> tuple[Model, ...]:
        """Return the model of each network."""
        return tuple(MODELS.create(spec, key=f"model.of[{place}]") for place, spec in enumerate(self.of))

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build all networks, each with initial weights of its own."""
        return _Peers([model.network(shape, num_outputs) for model in self.models()], self.speaks)


class _Peers(nn.Module):
    def __init__(self, networks: list[nn.Module], speaks: int) -> None:
        super().__init__()
        self.networks, self.speaks = nn.ModuleList(networks), speaks

    def forward(self, x: Tensor) -> Outputs:
        said = [network(x) for network in self.networks]
        said = [one if isinstance(one, Outputs) else Outputs(one, one) for one in said]
        exits = torch.stack([one.logits for one in said], dim=1)
        return Outputs(said[self.speaks].logits, said[self.speaks].features, exits=exits)
