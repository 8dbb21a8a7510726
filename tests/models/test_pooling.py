import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fedkd.models._pooling import pool_first, pooling_first
from fedkd.objectives import Taps

X = {"image": torch.randn(24, 3, 12, 12, generator=torch.Generator().manual_seed(0))}


def drawn(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, stride=1, padding=1)),
        nn.Flatten(),
        nn.Linear(64, 5),
    )


def gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
    weights = list(network.parameters())
    return [network(x), *torch.autograd.grad(network(x).square().sum(), weights)]


def kinds(network: nn.Module) -> list[str]:
    return [type(module).__name__ for module in network.modules()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_nothing_changes_to_the_bit_gradients_included(dtype: torch.dtype) -> None:
    plain = drawn(convolutions).to(dtype)
    quick = copy.deepcopy(plain)
    images = X["image"].to(dtype)
    images[:8] = images[:8].round()  # windows with several largest numbers
    images[8:12] = 0.0  # and with nothing but equal ones
    pool_first(quick, {"image": images})
    assert kinds(quick).count("_WaitingReLU") == kinds(quick).count("_ActivatingPool") == 2
    for one, other in zip(gradients(plain, images), gradients(quick, images), strict=True):
        assert torch.equal(one, other)


def test_relu_sees_a_quarter_of_the_numbers() -> None:
    quick, seen = drawn(convolutions), list[torch.Size]()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            del types
            if func is torch.ops.aten.relu.default:
                seen.append(args[0].shape)
            return func(*args, **(kwargs or {}))

    pool_first(quick, X)
    with Watch():
        quick(X["image"])
    assert seen == [torch.Size([24, 6, 6, 6]), torch.Size([24, 4, 4, 4])]


def test_who_listens_to_a_layer_hears_what_it_heard_before() -> None:
    plain = drawn(convolutions)
    quick = copy.deepcopy(plain)
    pool_first(quick, X)
    for name in ("1", "2", "3.2", "3.3"):
        heard = []
        for network in (plain, quick):
            with Taps(network, [name]) as layers:
                network(X["image"])
            heard.append(layers[name])
        assert torch.equal(*heard), name


def test_afterwards_a_network_is_what_it_was() -> None:
    network = drawn(convolutions)
    before = kinds(network)
    with pooling_first(network, X):
        assert kinds(network) != before
    assert kinds(network) == before


class Reads(nn.Module):
    """A network that uses what its ReLU says in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(216, 4)

    def forward(self, x: Tensor) -> Tensor:
        active = self.body[1](self.body[0](x))
        said: Tensor = self.head(self.body[2](active).flatten(1)) + active.mean()
        return said


class Shares(nn.Module):
    """A network with one ReLU in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), self.relu, nn.MaxPool2d(2), nn.Flatten())
        self.head = nn.Linear(216, 4)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.head(self.relu(self.body(x) - 0.1))
        return said


class InPlace(nn.Module):
    """A network whose ReLU writes over what the convolution said."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.body(x)
        return said


@pytest.mark.parametrize("build", [Reads, Shares, InPlace])
def test_a_network_that_reads_its_relu_elsewhere_is_left_alone(build: Callable[[], nn.Module]) -> None:
    network = drawn(build)
    before, said = kinds(network), network(X["image"])
    pool_first(network, X)
    assert kinds(network) == before
    assert torch.equal(network(X["image"]), said)
