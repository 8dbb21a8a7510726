"""The networks of the workloads in plain PyTorch, for contestants that know nothing of fedkd; weights in the order of fedkd's own.

>>> network(Network("mlp", (1, 8, 8), 10, hidden=(64,)))
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Network:
    """Which network: the name of fedkd's model, and its options.

    Args:
        name: logistic, mlp, lenet, or resnet, which is taken from fedkd.
        shape: shape of one sample.
        outputs: number of classes.
        hidden: widths of hidden layers.
        channels: channels of the convolutions (lenet).
        kernel: side of the kernels (lenet).
        groups: groups of GroupNorm (resnet).
    """

    name: str
    shape: tuple[int, ...]
    outputs: int
    hidden: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    kernel: int = 5
    groups: int = 4


def network(options: Network) -> nn.Module:
    """Build the network; its initial weights are replaced by those of the material."""
    if options.name == "resnet":
        return _Residual(options)
    layers: list[nn.Module] = []
    width = math.prod(options.shape)
    if options.name == "lenet":
        depth, height, breadth = options.shape
        first, second = options.channels
        for before, after in ((depth, first), (first, second)):
            layers += [
                nn.Conv2d(before, after, options.kernel, padding=options.kernel // 2),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        width = second * (height // 4) * (breadth // 4)
    layers.append(nn.Flatten())
    for wide in options.hidden:
        layers += [nn.Linear(width, wide), nn.ReLU()]
        width = wide
    return nn.Sequential(*layers, nn.Linear(width, options.outputs))


class _Residual(nn.Module):
    def __init__(self, options: Network) -> None:
        from fedkd.models.resnet import ResNet

        super().__init__()
        recipe = ResNet(channels=options.channels, groups=options.groups)
        self.inner = recipe.network(options.shape, options.outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).logits
