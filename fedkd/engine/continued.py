"""A client's network up to a layer, followed by the server's network, which reads what that layer says: how both are used together.

>>> network = Continued(own=LeNet(), layer="body.2", beyond=ResNet()).build(Signature.of(data))
>>> run_network(network, images).logits.shape
torch.Size([32, 10])
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from fedkd.models.base import Model, Outputs, Signature, run_network
from fedkd.objectives import Taps, layer_shapes

VIEW = "features"
"""Name of the view that the server's network reads: what the layer says."""

_OWN, _BEYOND = "own.", "beyond."


def beyond_signature(own: nn.Module, layer: str, signature: Signature) -> Signature:
    """Return what goes into a network that goes on from a layer of another, and how much comes out.

    Args:
        own: the network that has the layer.
        layer: its name.
        signature: what goes into `own`.

    Raises:
        InvalidOption: the network has no such layer.
    """
    shape = layer_shapes(own, [layer], signature.blank(1))[layer]
    return Signature({VIEW: shape}, signature.num_outputs, heads=signature.heads)


@dataclass(frozen=True, kw_only=True)
class Continued(Model):
    """A client's network, of which only what leads to a layer counts, and the server's network from there on."""

    own: Model
    """The client's network."""

    layer: str
    """Where the server's network goes on from it."""

    beyond: Model
    """The server's network."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build both networks for one view."""
        return self.build(Signature({"sample": shape}, num_outputs))

    def build(self, signature: Signature) -> nn.Module:
        """Build both networks; the client's reads the view that it names."""
        own = self.own.build(signature)
        beyond = self.beyond.build(beyond_signature(own, self.layer, signature))
        return _Continued(own, self.layer, beyond, tuple(signature.views))


class _Continued(nn.Module):
    def __init__(self, own: nn.Module, layer: str, beyond: nn.Module, views: tuple[str, ...]) -> None:
        super().__init__()
        self.own, self.beyond = own, beyond
        self.layer, self.views = layer, views

    def forward(self, *read: Tensor) -> Outputs:
        with Taps(self.own, [self.layer]) as layers:
            run_network(self.own, dict(zip(self.views, read, strict=True)))
        return run_network(self.beyond, {VIEW: layers[self.layer]})


def continued(own: Mapping[str, Tensor], beyond: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of both networks by their names in the whole."""
    return {
        f"{prefix}{name}": tensor
        for prefix, state in ((_OWN, own), (_BEYOND, beyond))
        for name, tensor in state.items()
    }
