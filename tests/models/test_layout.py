import copy

import pytest
import torch
from torch import Tensor, nn

from fedkd.foundation.seeding import Streams
from fedkd.models import MODELS
from fedkd.models._layout import bears_layout, fast_layout, lay_out
from fedkd.models._pooling import _ActivatingPool
from fedkd.models.base import run_network
from fedkd.training import Fit, Optimizer, fit

SHAPE = (3, 12, 12)
X = {"image": torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0))}
Y = torch.randint(4, (40,), generator=torch.Generator().manual_seed(1))


class Flattens(nn.Module):
    """A network that takes for granted how its activations lie in memory, as many written by hand do."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.head = nn.Conv2d(3, 4, 3), nn.Linear(400, 4)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.head(self.kernel(x).view(len(x), -1))
        return said


def network(name: str) -> nn.Module:
    with Streams(0).initialising("test"):
        built: nn.Module = MODELS.create(name, key="model").network(SHAPE, 4)
    return built


def flattening() -> nn.Module:
    with Streams(0).initialising("test"):
        return Flattens()


def train(student: nn.Module) -> None:
    def loss(rows: Tensor) -> Tensor:
        return nn.functional.cross_entropy(run_network(student, {"image": X["image"][rows]}).logits, Y[rows])

    plan = Fit(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.05, momentum=0.9))
    fit(student, loss, size=len(Y), plan=plan, generator=torch.Generator().manual_seed(2))


def channels_last(student: nn.Module) -> bool:
    return any(
        not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)
        for weight in student.parameters()
        if weight.dim() == 4
    )


def test_a_network_with_convolutions_learns_the_same_and_its_weights_lie_as_before() -> None:
    plain, fast = network("lenet"), network("lenet")
    train(plain)
    with fast_layout(fast, X):
        assert channels_last(fast)
        train(fast)
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        assert other.is_contiguous()
        assert torch.allclose(one, other, atol=1e-5)


def test_a_network_that_flattens_by_view_is_trained_as_it_is() -> None:
    student, same = flattening(), flattening()
    assert not bears_layout(student, X)
    with fast_layout(student, X):
        assert not channels_last(student)
        train(student)
    train(same)
    for one, other in zip(student.parameters(), same.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_network_without_convolutions_is_left_alone() -> None:
    student = network("mlp")
    with fast_layout(student, X):
        assert all(weight.is_contiguous() for weight in student.parameters())


def test_finding_out_changes_neither_the_network_nor_the_global_generator() -> None:
    student = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(400, 4)
    )
    before, state = copy.deepcopy(student.state_dict()), torch.random.get_rng_state()
    assert bears_layout(student, X)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(weight.grad is None for weight in student.parameters())


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_where_relu_stands_before_pooling_it_comes_after_it(name: str) -> None:
    student, kept = network(name), network(name)
    lay_out(kept, X)
    with fast_layout(student, X):
        for one in (student, kept):
            pools = [module for module in one.modules() if isinstance(module, nn.MaxPool2d)]
            assert all(isinstance(pool, _ActivatingPool) for pool in pools)
            assert len(pools) == (2 if name == "lenet" else 0)
    assert not any(isinstance(module, _ActivatingPool) for module in student.modules())
