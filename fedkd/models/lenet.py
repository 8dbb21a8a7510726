"""A small convolutional network after LeNet-5 (LeCun et al., 1998), with ReLU and max pooling."""

from dataclasses import dataclass

from torch import Tensor, nn

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.models.base import Model, Outputs, require_image


@dataclass(frozen=True, kw_only=True)
class LeNet(Model):
    """Two convolutions with pooling, one hidden layer; takes images of at least 4 x 4 pixels."""

    channels: tuple[Count, Count] = (6, 16)
    """Channels of the first and the second convolution."""

    kernel: Count = 5
    """Side of the convolution kernels in pixels; odd, so that padding keeps the size."""

    hidden: Count = 64
    """Width of the hidden layer."""

    def __post_init__(self) -> None:
        """Refuse even kernels, whose padding would change the size of the image."""
        if self.kernel % 2 == 0:
            raise InvalidOption("model.kernel", self.kernel, "an odd number of pixels")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the network for images [channels, height, width]."""
        require_image("lenet", shape, least=4)
        return _LeNet(shape, self, num_outputs)


class _LeNet(nn.Module):
    def __init__(self, shape: tuple[int, ...], options: LeNet, num_outputs: int) -> None:
        super().__init__()
        depth, height, width = shape
        first, second = options.channels
        padding = options.kernel // 2
        self.body = nn.Sequential(
            nn.Conv2d(depth, first, options.kernel, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, options.kernel, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * (height // 4) * (width // 4), options.hidden),
            nn.ReLU(),
        )
        self.head = nn.Linear(options.hidden, num_outputs)

    def forward(self, x: Tensor) -> Outputs:
        features = self.body(x)
        return Outputs(self.head(features), features)
