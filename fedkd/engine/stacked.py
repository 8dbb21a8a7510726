"""Predictions of many networks of one architecture, whose weights are stacked: [networks, ...] under each name.

>>> weights = stack([network.state_dict() for network in networks])
>>> predict_stacked(networks[0], weights, {"image": images}).shape  # everyone on the same images
torch.Size([64, 1000, 10])
>>> predict_own(networks[0], weights, [{"image": images[:3]}, {"image": images[3:5]}, ...])  # each on its own
"""

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vmap

from fedkd.engine.memory import out_of_memory
from fedkd.models.base import batch_size_on, predict, run_network, run_with

_ACTIVATIONS = 128 * 2**20
"""Most bytes that the widest layer's activations of all networks together may take."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def stack(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the weights and buffers of some networks as [networks, ...] under each name."""
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


@torch.no_grad()
def predict_stacked(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    *,
    batch_size: int | None = None,
    together: bool | None = None,
) -> Float[Tensor, "networks n ... outputs"]:
    """Return the logits in evaluation mode of every network for every sample, as `predict` gives them one by one.

    Args:
        network: the architecture; its own weights and its mode stay as they are.
        weights: state of each network by name, stacked.
        inputs: the samples' views, the same for all networks.
        batch_size: most samples at once; what suits the device if not given.
        together: whether to compute all networks at once; by `pays_together` if not given. A network that PyTorch cannot
            vectorise is computed one by one all the same; where memory runs out, networks are computed in two halves.
    """
    first = next(iter(inputs.values()))
    if together is None:
        together = pays_together(network, len(first), first.device)
    if together and len(first):
        try:
            return _vectorised(network, weights, inputs, batch_size or batch_size_on(first.device))
        # Code that PyTorch cannot vectorise says so in no other way; a real mistake is raised again below.
        except (RuntimeError, ValueError, MemoryError) as error:
            halves = out_of_memory(error)
        middle = len(next(iter(weights.values()))) // 2
        if halves and middle:
            parts = (
                {name: weight[some] for name, weight in weights.items()}
                for some in (slice(middle), slice(middle, None))
            )
            return torch.cat(
                [
                    predict_stacked(network, part, inputs, batch_size=batch_size, together=True)
                    for part in parts
                ]
            )
    return torch.stack([predict(one, inputs, batch_size=batch_size) for one in _one_by_one(network, weights)])


def predict_own(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    inputs: Sequence[Mapping[str, Tensor]],
    *,
    batch_size: int | None = None,
) -> list[Float[Tensor, "_ ... outputs"]]:
    """Return the logits in evaluation mode of each network for samples of its own, of which each may have another number."""
    networks = _one_by_one(network, weights)
    return [predict(one, own, batch_size=batch_size) for one, own in zip(networks, inputs, strict=True)]


def pays_together(network: nn.Module, samples: int, device: torch.device) -> bool:
    """Return whether networks are faster at once than one by one: not if they convolve more than a few samples on a CPU.

    Convolutions vectorise into grouped ones, which only pay for a handful of samples; linear layers into batched products.
    """
    convolves = any(isinstance(part, _CONVOLUTIONS) for part in network.modules())
    return device.type != "cpu" or not convolves or samples <= 8


def _vectorised(
    network: nn.Module, weights: Mapping[str, Tensor], inputs: Mapping[str, Tensor], batch_size: int
) -> Float[Tensor, "networks n ... outputs"]:
    network = copy.deepcopy(network).eval()  # its own mode stays
    together = vmap(lambda state, views: run_with(network, state, views).logits, in_dims=(0, None))
    bytes_each = _widest(network, inputs) * len(next(iter(weights.values())))
    step = min(batch_size, max(_ACTIVATIONS // bytes_each, 1))
    size = len(next(iter(inputs.values())))
    pieces = [
        together(dict(weights), {view: x[start : start + step] for view, x in inputs.items()})
        for start in range(0, size, step)
    ]
    return torch.cat(pieces, dim=1)


def _one_by_one(network: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """Yield one network again and again, with the weights of each in turn."""
    network = copy.deepcopy(network)
    for index in range(len(next(iter(weights.values())))):
        network.load_state_dict({name: weight[index] for name, weight in weights.items()})
        yield network


def _widest(network: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """Return the bytes that one sample takes behind the layer where it takes most, the input included."""
    sample = {view: x[:1] for view, x in inputs.items()}
    found = [x.nbytes for x in sample.values()]

    def look(_: nn.Module, __: object, said: object) -> None:
        found.extend(
            x.nbytes for x in (said if isinstance(said, tuple) else (said,)) if isinstance(x, Tensor)
        )

    hooks = [part.register_forward_hook(look) for part in network.modules()]
    run_network(network, sample)
    for hook in hooks:
        hook.remove()
    return max(found)
