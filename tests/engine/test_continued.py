"""A client's network up to a layer and the server's from there on: what it says, and that clients are judged with it."""

from collections.abc import Callable

import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients.fedgkt import FedGKT
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, evaluate, train
from fedkd.engine.continued import Continued, beyond_signature, continued
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import from_records
from fedkd.knowledge.kinds.features import Features
from fedkd.models.base import Signature, predict, run_network
from fedkd.models.lenet import LeNet
from fedkd.models.mlp import MLP
from fedkd.models.resnet import ResNet
from fedkd.training import Fit

Maker = Callable[..., ClientSide]
IMAGES = Signature({"image": (1, 8, 8), "other": (3,)}, 10)
OWN = LeNet(channels=(2, 3), kernel=3, hidden=4)


def of_image(layers: torch.nn.Sequential, image: Tensor, count: int) -> Tensor:
    return layers[:count](image)


def test_the_whole_network_is_the_layers_of_the_first_followed_by_the_second() -> None:
    whole = Continued(own=OWN, layer="body.2", beyond=ResNet(channels=(4,), groups=2))
    with Streams(0).initialising("test"):
        network = whole.build(IMAGES).eval()
    image = torch.rand(5, 1, 8, 8)
    own, beyond = network.get_submodule("own"), network.get_submodule("beyond")
    layer = of_image(own.get_submodule("body"), image, 3)  # type: ignore[arg-type]
    assert layer.shape == (5, 2, 4, 4)
    assert torch.equal(predict(network, {"image": image, "other": torch.zeros(5, 3)}), beyond(layer).logits)
    # What comes behind the layer in the client's network has no say.
    with torch.no_grad():
        own.get_submodule("head").weight.zero_()  # type: ignore[operator, union-attr]
    assert torch.equal(run_network(network, {"image": image, "other": image}).logits, beyond(layer).logits)


def test_the_weights_of_both_fit_the_whole() -> None:
    whole = Continued(own=MLP(hidden=(4,)), layer="features", beyond=MLP(hidden=(3,)))
    with Streams(0).initialising("test"):
        network = whole.build(IMAGES)
    parts = (network.get_submodule(name).state_dict() for name in ("own", "beyond"))
    state = network.state_dict()
    given = continued(*parts)
    assert given.keys() == state.keys()
    assert all(torch.equal(given[name], state[name]) for name in state)


def test_what_goes_into_the_second_network_is_the_shape_of_the_layer() -> None:
    own = OWN.build(IMAGES)
    assert beyond_signature(own, "body.2", IMAGES) == Signature({"features": (2, 4, 4)}, 10)
    assert beyond_signature(own, "features", IMAGES).views == {"features": (4,)}
    with pytest.raises(InvalidOption, match=r"body\.2"):
        beyond_signature(own, "body.22", IMAGES)


@pytest.mark.parametrize("layer", ["features", "body.2"])
def test_clients_share_the_layer_that_the_network_which_they_are_judged_with_goes_on_from(
    layer: str, client_side: Maker, digits: FederatedData
) -> None:
    server, kind = MLP(hidden=(6,)), Features(layer=layer)
    judged = tuple(Continued(own=OWN, layer=layer, beyond=server) for _ in digits.assignments)
    side = client_side(
        FedGKT(fit=Fit(epochs=1)), kind=kind, models=(OWN,) * len(digits.assignments), judged=judged
    )
    state = RecordDict()
    said = from_records(train(side, 1, RecordDict({"config": ConfigRecord({"server-round": 1})}), state))
    own = digits.client_train(1)
    assert said.ids is not None
    assert torch.equal(said.ids, own.ids)
    assert said.targets is not None
    assert torch.equal(said.targets, own.targets)
    with Streams(1).initialising("server"):
        network = server.build(beyond_signature(side.network(1), layer, Signature.of(digits.info)))
    config = ConfigRecord({"server-round": 1, "splits": ["test"]})
    asked = RecordDict({"config": config, "weights": ArrayRecord(network.state_dict())})
    answer = torch.from_numpy(
        evaluate(side, 1, asked, state).array_records["predictions"]["test"].numpy().copy()
    )
    kept = side.network(1)
    kept.load_state_dict(state.array_records["fedkd.model"].to_torch_state_dict())
    # The client's own samples through what it shared, test samples through its network: both end in the server's.
    layers = {
        "features": lambda x: run_network(kept, {"image": x}).features,
        "body.2": lambda x: of_image(kept.get_submodule("body"), x, 3),  # type: ignore[arg-type]
    }[layer]
    torch.testing.assert_close(said.values, layers(own.inputs["image"]).detach())
    torch.testing.assert_close(said.arrays["logits"], predict(kept, own.inputs))
    expected = predict(network, {"features": layers(digits.test.inputs["image"]).detach()})
    torch.testing.assert_close(answer, expected)
    # Without the server's network in the request, a client judges its own.
    alone = evaluate(side, 1, RecordDict({"config": config}), state).array_records["predictions"]["test"]
    torch.testing.assert_close(torch.from_numpy(alone.numpy().copy()), predict(kept, digits.test.inputs))
