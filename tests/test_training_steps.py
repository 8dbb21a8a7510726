"""The one step down a gradient, `fedkd.training.follow`."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedkd.training import Optimizer, follow


def test_sgd_without_its_hooks_takes_the_steps_of_pytorch_to_the_bit() -> None:
    network, other = (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
    other.load_state_dict(network.state_dict())
    unused = nn.Linear(2, 2)
    x = torch.randn(8, 3)
    ours = Optimizer(lr=0.3).start(nn.ModuleList([network, unused]))
    theirs = torch.optim.SGD(other.parameters(), lr=0.3)
    for _ in range(5):
        follow(ours, network(x).square().sum(), None)
        theirs.zero_grad()
        other(x).square().sum().backward()
        theirs.step()
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), other.parameters(), strict=True))


class Odd(nn.Module):
    """Weights whose gradients are one tensor, one number for all, or lie otherwise than the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.alike = (nn.Parameter(torch.full((3,), 0.5)) for _ in range(3))
        self.kernel = nn.Parameter(
            torch.arange(24.0).view(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
        )
        self.shape = torch.linspace(-1, 1, 24)

    def forward(self) -> Tensor:
        return (self.one + self.other).square().sum() + self.alike.sum() + self.kernel.flatten() @ self.shape


@pytest.mark.parametrize("clip_norm", [None, 0.01])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_gradients_that_share_memory_or_lie_otherwise_move_weights_as_pytorch_does(
    name: Any, clip_norm: float | None
) -> None:
    network, other = Odd(), Odd()
    rule = Optimizer(name=name, lr=0.1)
    ours, theirs = rule.start(network), rule.start(other)
    for _ in range(3):
        follow(ours, network(), clip_norm)
        theirs.zero_grad()
        other().backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(other.parameters(), clip_norm)
        theirs.step()
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), other.parameters(), strict=True))


def weights(network: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_a_step_gives_a_gradient_to_the_weights_of_its_optimizer_alone() -> None:
    """A generator learns through a student, which stays as it was; the norm that is clipped is the generator's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        maker, student = nn.Linear(2, 3), nn.Linear(3, 1)
    before, still = weights(maker), weights(student)
    loss = 100 * student(maker(torch.ones(4, 2))).square().mean()
    follow(torch.optim.SGD(maker.parameters(), lr=1.0), loss, 0.01)
    assert float((weights(maker) - before).norm()) == pytest.approx(0.01, rel=1e-3)
    assert torch.equal(weights(student), still)
    assert all(weight.grad is None for weight in student.parameters())
