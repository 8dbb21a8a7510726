"""Taps: what layers inside a network say while it runs, by forward hooks; no network needs to be written for it.

>>> with Taps(network, ["body.3", "features"]) as layers:
...     logits = network(x)
>>> layers["body.3"].shape
torch.Size([32, 16, 14, 14])

A tap is put on the module, so it works under `torch.func.functional_call` and `vmap` too: there, use what it says inside of the function.
"""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.models.base import Outputs, batch_size_on, run_network

OUTPUTS = ("logits", "features")
"""Names that every network has: its outputs, and what its last layer sees (the outputs, where it does not say)."""


class Taps:
    """Layers of a network that are listened to, between entering and leaving.

    Args:
        network: any module; it stays as it is.
        names: of submodules, as in `named_modules`, and `logits` and `features` of what the network returns. A submodule of one of
            these names comes first. Of a submodule that runs several times the last output counts.

    Raises:
        InvalidOption: the network has no such layer.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        known = {name: module for name, module in network.named_modules() if name}
        for name in names:
            if name not in known and name not in OUTPUTS:
                allowed = [*OUTPUTS, *known]
                raise InvalidOption(
                    "layer", name, f"a layer of the network: {', '.join(allowed)}", nearest(name, allowed)
                )
        self._network = network
        self._modules = {name: known[name] for name in names if name in known}
        self._outputs = [name for name in names if name not in known]
        self._layers: dict[str, Tensor] = {}
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> Mapping[str, Tensor]:
        """Begin to listen; the mapping that is returned is filled anew by each forward pass."""
        for name, module in self._modules.items():
            self._hooks.append(module.register_forward_hook(self._hears(name)))
        if self._outputs:
            self._hooks.append(self._network.register_forward_hook(self._hear_outputs))
        return self._layers

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove every hook."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _hears(self, name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, given: object, said: object) -> None:
            del module, given
            if not isinstance(said, Tensor):
                raise InvalidOption(
                    "layer", name, f"a layer that returns a tensor, not {type(said).__name__}"
                )
            self._layers[name] = said.clone()  # what follows may write into it, as ReLU(inplace=True) does

        return hook

    def _hear_outputs(self, module: nn.Module, given: object, said: Outputs | Tensor) -> None:
        del module, given
        outputs = said if isinstance(said, Outputs) else Outputs(said, said)
        self._layers.update({name: getattr(outputs, name) for name in self._outputs})


def layer_shapes(
    network: nn.Module, names: Sequence[str], inputs: Mapping[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each layer's output without the batch, from one sample of zeros."""
    sample = {view: x.new_zeros(1, *x.shape[1:]) for view, x in inputs.items()}
    _, layers = predict_with_layers(network, names, sample)
    return {name: tuple(layer.shape[1:]) for name, layer in layers.items()}


@torch.no_grad()
def predict_with_layers(
    network: nn.Module, names: Sequence[str], inputs: Mapping[str, Tensor]
) -> tuple[Float[Tensor, "n ... outputs"], dict[str, Float[Tensor, "n ..."]]]:
    """Return the logits and the named layers of a network in evaluation mode for every sample, in order."""
    was_training = network.training
    network.eval()
    first = next(iter(inputs.values()))
    step = batch_size_on(first.device)
    logits: list[Tensor] = []
    pieces: dict[str, list[Tensor]] = {name: [] for name in names}
    with Taps(network, names) as layers:
        for start in range(0, max(len(first), 1), step):
            batch = {view: x[start : start + step] for view, x in inputs.items()}
            logits.append(run_network(network, batch).logits)
            for name, heard in pieces.items():
                heard.append(layers[name])
    network.train(was_training)
    return torch.cat(logits), {name: torch.cat(heard) for name, heard in pieces.items()}
