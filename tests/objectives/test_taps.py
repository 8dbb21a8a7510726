import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.models.base import predict
from fedkd.models.lenet import LeNet
from fedkd.objectives import Taps, layer_shapes, predict_with_layers


@pytest.fixture
def network() -> nn.Module:
    with Streams(0).initialising("test"):
        return LeNet(channels=(2, 3), hidden=5).network((1, 8, 8), 4)


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_layers_are_heard_by_the_names_of_submodules_and_of_outputs(network: nn.Module) -> None:
    x = images()
    with Taps(network, ["body.0", "head", "features", "logits"]) as layers:
        outputs = network(x)
    assert torch.equal(layers["body.0"], network.get_submodule("body.0")(x))
    assert torch.equal(layers["features"], outputs.features)
    assert torch.equal(layers["logits"], outputs.logits)
    assert torch.equal(layers["head"], outputs.logits)


def test_gradients_flow_through_a_tap(network: nn.Module) -> None:
    with Taps(network, ["body.3"]) as layers:
        network(images())
    layers["body.3"].square().sum().backward()
    grads = {name: weight.grad for name, weight in network.named_parameters()}
    assert grads["body.0.weight"] is not None
    assert grads["head.weight"] is None


def test_after_the_block_nothing_is_heard_and_no_hook_stays(network: nn.Module) -> None:
    with Taps(network, ["body.0", "logits"]) as layers:
        network(images())
    kept = layers["body.0"]
    network(images(2))
    assert layers["body.0"] is kept
    with pytest.raises(RuntimeError), Taps(network, ["body.0", "logits"]):
        network(torch.zeros(1, 7))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_layer_that_is_written_into_is_heard_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(inplace=True))
    nn.init.eye_(network[0].weight)
    with Taps(network, ["0", "1"]) as layers:
        network(torch.tensor([[3.0, -4.0]]))
    assert layers["0"].tolist() == [[3.0, -4.0]]
    assert layers["1"].tolist() == [[3.0, 0.0]]


def test_taps_work_under_vmap_with_weights_of_many_clients(network: nn.Module) -> None:
    weights = {name: torch.stack([w, 0.5 * w]) for name, w in network.state_dict().items()}
    x = torch.stack([images(), images().flip(0)])

    def heard(state: dict[str, Tensor], batch: Tensor) -> Tensor:
        with Taps(network, ["body.3", "features"]) as layers:
            functional_call(network, state, (batch,))
        return torch.cat([layers["body.3"].flatten(1), layers["features"]], dim=1)

    together = vmap(heard)(weights, x)
    for client in range(2):
        alone = heard({name: w[client] for name, w in weights.items()}, x[client])
        assert torch.allclose(together[client], alone, atol=1e-6)


def test_a_network_that_returns_a_tensor_has_logits_and_features() -> None:
    network = nn.Linear(2, 3)
    with Taps(network, ["logits", "features"]) as layers:
        said = network(torch.ones(1, 2))
    assert torch.equal(layers["logits"], said)
    assert torch.equal(layers["features"], said)


def test_a_layer_that_is_not_there_is_refused_with_the_nearest_name(network: nn.Module) -> None:
    with pytest.raises(InvalidOption, match=r"layer: got 'body\.33'.*did you mean 'body\.3'"):
        Taps(network, ["body.33"])


def test_a_layer_that_returns_no_tensor_is_refused() -> None:
    network = nn.Sequential(nn.GRU(2, 3))
    with pytest.raises(InvalidOption, match="a layer that returns a tensor, not tuple"), Taps(network, ["0"]):
        network(torch.zeros(1, 2))


def test_layers_of_a_whole_set_come_with_the_predictions_in_order(network: nn.Module) -> None:
    x = images(450)
    logits, layers = predict_with_layers(network.train(), ["body.3"], {"image": x})
    assert network.training
    assert torch.equal(logits, predict(network, {"image": x}))
    assert layers["body.3"].shape == (450, 3, 4, 4)
    assert layer_shapes(network, ["body.3", "features"], {"image": x}) == {
        "body.3": (3, 4, 4),
        "features": (5,),
    }
