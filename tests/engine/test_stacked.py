"""Networks whose weights are stacked say what each says alone."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from fedkd.engine import stacked
from fedkd.engine.stacked import pays_together, predict_own, predict_stacked, stack
from fedkd.foundation.seeding import Streams
from fedkd.models import MODELS
from fedkd.models.base import predict

IMAGE = (1, 8, 8)
SPECS: list[Any] = [
    "logistic",
    {"name": "mlp", "hidden": [16, 8]},
    "lenet",
    {"name": "resnet", "channels": [4, 8]},
]


class Normed(nn.Module):
    """A network with running statistics, which differ between clients, and a layer that is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.twice, self.drop = nn.BatchNorm1d(64), nn.Linear(64, 64), nn.Dropout()
        self.again = nn.Linear(64, 64)
        self.again.weight = self.twice.weight
        self.norm(3 * torch.randn(20, 64) + 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.again(self.twice(self.norm(x.flatten(1)))))


class Picky(nn.Module):
    """A network that looks at its own numbers, which cannot be vectorised."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x.flatten(1))
        return y if float(self.head.bias.detach().sum()) > 0 else -y


class Hungry(nn.Module):
    """A network of which no more than two have room at once, and which notes how many were tried."""

    tried: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.head.bias
        if torch._C._functorch.is_functorch_wrapped_tensor(inside):
            self.tried.append(len(torch._C._functorch.get_unwrapped(inside)))
            torch.empty(2**60 if self.tried[-1] > 2 else 1)
        return self.head(x.flatten(1))


def networks(spec: Any, count: int = 4) -> list[nn.Module]:
    with Streams(0).initialising("test"):
        if isinstance(spec, type):
            return [spec() for _ in range(count)]
        return [MODELS.create(spec, key="model").network(IMAGE, 5) for _ in range(count)]


def images(n: int) -> dict[str, Tensor]:
    return {"image": torch.rand(n, *IMAGE, generator=torch.Generator().manual_seed(n))}


@pytest.mark.parametrize("together", [True, False, None])
@pytest.mark.parametrize("spec", [*SPECS, Normed, Picky], ids=str)
def test_stacked_networks_say_what_each_says_alone(spec: Any, together: bool | None) -> None:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        each = [network.to(dtype) for network in networks(spec)]
        inputs = {"image": images(23)["image"].to(dtype)}
        before = {name: weight.clone() for name, weight in each[0].state_dict().items()}
        said = predict_stacked(
            each[0],
            stack([network.state_dict() for network in each]),
            inputs,
            batch_size=10,
            together=together,
        )
        expected = torch.stack([predict(network, inputs) for network in each])
        torch.testing.assert_close(
            said, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max())
        )
        assert each[0].training
        assert all(torch.equal(weight, before[name]) for name, weight in each[0].state_dict().items())


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_samples_of_ones_own_may_be_of_any_number(spec: Any) -> None:
    each = networks(spec)
    own = [images(n) for n in (0, 1, 7, 300)]
    said = predict_own(each[1], stack([network.state_dict() for network in each]), own)
    for network, inputs, outputs in zip(each, own, said, strict=True):
        assert torch.equal(outputs, predict(network, inputs))


@pytest.mark.parametrize("together", [True, False])
def test_no_samples_give_no_answers_of_the_right_shape(together: bool) -> None:
    each = networks("mlp")
    weights = stack([network.state_dict() for network in each])
    assert predict_stacked(each[0], weights, images(0), together=together).shape == (4, 0, 5)


def test_batches_shrink_until_the_widest_layer_of_all_networks_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    each = networks({"name": "mlp", "hidden": [100]}, 3)
    seen: list[int] = []
    each[0].register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    monkeypatch.setattr(stacked, "_ACTIVATIONS", 3 * 100 * 4 * 8)  # 8 samples of 100 float32 of 3 networks
    weights = stack([network.state_dict() for network in each])
    said = predict_stacked(each[0], weights, images(20), together=True)
    assert seen == [1, 8, 8, 4]  # the first looks for the widest layer
    assert said.shape == (3, 20, 5)


def test_a_real_mistake_is_raised_and_not_hidden_by_the_way_round() -> None:
    each = networks("mlp")
    weights = stack([network.state_dict() for network in each])
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predict_stacked(each[0], weights, {"image": torch.rand(3, 1, 9, 9)}, together=True)


def test_only_convolutions_of_many_samples_on_a_cpu_are_done_one_by_one() -> None:
    [mlp], [lenet] = networks("mlp", 1), networks("lenet", 1)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert pays_together(mlp, 10_000, cpu)
    assert pays_together(lenet, 8, cpu)
    assert not pays_together(lenet, 9, cpu)
    assert pays_together(lenet, 10_000, gpu)


def test_networks_that_have_no_room_at_once_are_asked_in_halves() -> None:
    some, inputs = networks(Hungry, 5), images(20)
    said = predict_stacked(some[0], stack([one.state_dict() for one in some]), inputs)
    assert Hungry.tried == [5, 2, 3, 1, 2]
    assert torch.allclose(said, torch.stack([predict(one, inputs) for one in some]), atol=1e-6)
