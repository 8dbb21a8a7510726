"""What a network is expected to cost: who is handed out first goes by it, never a result.

>>> multiplications(nn.Linear(4, 3), {"x": torch.zeros(5, 4)})
60
"""

from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from fedkd.models.base import count_parameters, run_network

_WEIGHTS = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001  (the common base of all convolutions)


def multiplications(network: nn.Module, inputs: Mapping[str, Shaped[Tensor, "n ..."]]) -> int:
    """Return how many multiplications linear layers and convolutions take for these samples; not fewer than there are weights."""
    total = 0

    def count(module: nn.Module, read: object, said: Tensor) -> None:
        nonlocal total
        del read
        assert isinstance(module, _WEIGHTS)
        total += said.numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(count) for module in network.modules() if isinstance(module, _WEIGHTS)
    ]
    with torch.no_grad():
        run_network(network.eval(), inputs)
    for hook in hooks:
        hook.remove()
    return max(total, count_parameters(network))
