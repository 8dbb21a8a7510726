"""Two networks in one: a client's own, and a copy of the server's that it carries beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedkd.models.base import Model, Outputs, Signature, observe, run_network

CARRIED = "carried."
"""What the names of the carried network's weights begin with."""


@dataclass(frozen=True, kw_only=True)
class Beside(Model):
    """A client's own network, whose logits and features are those of the whole, and the network that it carries."""

    own: Model
    """The client's own network."""

    carried: Model
    """The network that the server shares with all clients."""

    @property
    def reads_symbols(self) -> bool:  # type: ignore[override]
        """As the client's own network."""
        return self.own.reads_symbols

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build both networks, which read the same."""
        return _Both(self.own.network(shape, num_outputs), self.carried.network(shape, num_outputs), ("",))

    def build(self, signature: Signature) -> nn.Module:
        """Build both networks, each of which may read a view of its own."""
        networks = self.own.build(signature), self.carried.build(signature)
        return _Both(*networks, tuple(signature.views))


class _Both(nn.Module):
    def __init__(self, own: nn.Module, carried: nn.Module, views: tuple[str, ...]) -> None:
        super().__init__()
        self.own, self.carried = own, carried
        self.views = views

    def forward(self, *read: Tensor) -> Outputs:
        inputs = dict(zip(self.views, read, strict=True))
        return run_network(self.own, inputs)._replace(carried=run_network(self.carried, inputs).logits)


@dataclass(frozen=True, kw_only=True)
class Aligned(Beside):
    """Both networks, with a linear map from the features of the carried one to the width of the client's own; it is the client's too."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build both networks and the map."""
        return _with_map(super().network(shape, num_outputs), {"": torch.zeros(1, *shape)})

    def build(self, signature: Signature) -> nn.Module:
        """Build both networks, each of which may read a view of its own, and the map."""
        return _with_map(super().build(signature), signature.blank(1))


class _Aligned(nn.Module):
    def __init__(self, both: _Both, own: int, carried: int) -> None:
        super().__init__()
        self.own, self.carried, self.views = both.own, both.carried, both.views
        self.map = nn.Linear(carried, own, bias=False)

    def forward(self, *read: Tensor) -> Outputs:
        inputs = dict(zip(self.views, read, strict=True))
        carried = run_network(self.carried, inputs)
        return run_network(self.own, inputs)._replace(
            carried=carried.logits, carried_features=self.map(carried.features)
        )


def _with_map(both: nn.Module, some: Mapping[str, Tensor]) -> _Aligned:
    assert isinstance(both, _Both)
    widths = (observe(network, some).features.shape[-1] for network in (both.own, both.carried))
    return _Aligned(both, *widths)


def part_of(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights of one network of several, by their names in that network alone."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def with_part(state: Mapping[str, Tensor], prefix: str, part: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of all, with those of one network replaced."""
    return {**state, **{f"{prefix}{name}": tensor for name, tensor in part.items()}}
