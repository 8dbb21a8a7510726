from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.models import MODELS
from fedkd.models.base import Outputs, Signature, count_parameters, identity, predict, run_network
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP

IMAGE, TABLE = (1, 8, 8), (10,)
OTHERS = {"mixed", "gru", "transformer", "factorisation", "item_bag"}
"""No architecture of their own, or of symbols and items: they have tests of their own."""
SINGLE = [name for name in MODELS.names() if name not in OTHERS]


def network(spec: Any, shape: tuple[int, ...] = IMAGE, num_outputs: int = 10) -> nn.Module:
    with Streams(0).initialising("test"):
        built: nn.Module = MODELS.create(spec, key="model").network(shape, num_outputs)
    return built


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("shape", [IMAGE, (3, 4, 5), (1, 28, 28)])
def test_every_model_gives_logits_and_features_for_each_image(name: str, shape: tuple[int, ...]) -> None:
    said = network(name, shape, 7)(torch.rand(3, *shape))
    assert isinstance(said, Outputs)
    assert said.logits.shape == (3, 7)
    assert said.features.shape[0] == 3
    assert said.features.ndim == 2


@pytest.mark.parametrize("name", ["mlp", "logistic"])
def test_tables_are_taken_by_the_models_that_flatten(name: str) -> None:
    assert network(name, TABLE, 1)(torch.rand(3, *TABLE)).logits.shape == (3, 1)


@pytest.mark.parametrize("name", ["lenet", "resnet"])
@pytest.mark.parametrize("shape", [TABLE, (1, 3, 8), (64,)])
def test_models_of_images_refuse_other_inputs_and_name_those_that_take_them(
    name: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(IllegalCombination, match=rf"model={name} takes images .* model=mlp"):
        network(name, shape)


@pytest.mark.parametrize(
    ("spec", "shape", "parameters"),
    [
        ("logistic", IMAGE, 64 * 10 + 10),
        ({"name": "mlp", "hidden": [32]}, IMAGE, 64 * 32 + 32 + 32 * 10 + 10),
        ({"name": "mlp", "hidden": []}, TABLE, 10 * 10 + 10),
        (
            {"name": "lenet", "channels": [2, 3], "kernel": 3, "hidden": 5},
            IMAGE,
            (9 * 2 + 2) + (2 * 9 * 3 + 3) + (12 * 5 + 5) + 60,
        ),
        (
            {"name": "resnet", "channels": [4], "groups": 2},
            IMAGE,
            (36 + 8) + 2 * (144 + 8) + 50,
        ),
    ],
)
def test_models_have_the_number_of_parameters_that_one_counts_by_hand(
    spec: Any, shape: tuple[int, ...], parameters: int
) -> None:
    assert count_parameters(network(spec, shape)) == parameters


@pytest.mark.parametrize("name", SINGLE)
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    built = network(name)
    said = built(torch.rand(8, *IMAGE))
    (said.logits if said.exits is None else said.exits).square().sum().backward()
    learning = {name: one for name, one in built.named_parameters() if one.requires_grad}
    for parameter_name, parameter in learning.items():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", SINGLE)
def test_initial_weights_come_from_the_stream(name: str) -> None:
    first, again = network(name), network(name)
    with Streams(1).initialising("test"):
        other = MODELS.create(name, key="model").network(IMAGE, 10)
    for one, same, different in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)
        assert one.ndim == 1 or not torch.equal(one, different)


@pytest.mark.parametrize("name", SINGLE)
def test_what_a_network_says_of_a_sample_does_not_depend_on_the_batch_around_it(name: str) -> None:
    built, x = network(name), torch.rand(9, *IMAGE)
    whole = predict(built, {"image": x})
    assert torch.allclose(predict(built, {"image": x}, batch_size=2), whole, atol=1e-6)
    assert torch.allclose(predict(built, {"image": x[4:5]}), whole[4:5], atol=1e-6)


@pytest.mark.parametrize("name", SINGLE)
def test_no_samples_give_no_answers_of_the_right_width(name: str) -> None:
    assert predict(network(name), {"image": torch.rand(0, *IMAGE)}).shape == (0, 10)


def test_predicting_is_done_in_evaluation_mode_and_leaves_the_mode_as_it_was() -> None:
    drops = nn.Sequential(nn.Flatten(), nn.Dropout(0.5))
    x = torch.ones(4, 3)
    assert torch.equal(predict(drops, {"features": x}), x)
    assert drops.training
    drops.eval()
    predict(drops, {"features": x})
    assert not drops.training


def test_a_plain_network_and_one_that_names_its_view_are_run_alike() -> None:
    class Second(nn.Module):
        view = "second"

        def forward(self, x: Tensor) -> Tensor:
            return x

    inputs = {"first": torch.zeros(2, 3), "second": torch.ones(2, 3)}
    assert torch.equal(run_network(nn.Identity(), inputs).logits, inputs["first"])
    assert torch.equal(run_network(Second(), inputs).features, inputs["second"])


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(IllegalCombination, match=r"model\.groups=3 must divide"):
        network({"name": "resnet", "channels": [4], "groups": 3})


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"name": "lenet", "kernel": 4}, "model.kernel"),
        ({"name": "resnet", "channels": []}, "model.channels"),
        ({"name": "mlp", "hidden": [0]}, "model.hidden"),
        ({"name": "lenet", "channels": [6]}, "model.channels"),
    ],
)
def test_impossible_networks_are_refused_by_the_option_at_fault(spec: Any, key: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{key}"):
        MODELS.create(spec, key="model")


def test_one_model_is_that_of_every_client() -> None:
    model = MODELS.create("mlp", key="model")
    assert model.per_client(3) == (model,) * 3
    assert model.architectures() == {"mlp": model}


def test_a_model_reads_the_view_that_it_names_and_an_unknown_one_is_refused() -> None:
    signature = Signature({"pixels": (4,), "shape": (3,)}, 2)
    network = MODELS.create({"name": "logistic", "view": "shape"}, key="model").build(signature)
    samples = {"pixels": torch.zeros(5, 4), "shape": torch.rand(5, 3)}
    assert torch.equal(run_network(network, samples).logits, network(samples["shape"]).logits)
    assert network(samples["shape"]).logits.shape == (5, 2)
    assert run_network(Logistic().build(signature), samples).logits.shape == (5, 2)
    with pytest.raises(
        InvalidOption, match=r"model.view: got 'shap', allowed is pixels, shape; did you mean 'shape'"
    ):
        Logistic(view="shap").build(signature)


def test_a_view_that_is_not_named_does_not_tell_architectures_apart() -> None:
    assert identity(Logistic()) == "Logistic()"
    assert identity(MLP(hidden=(8,))) == "MLP(hidden=(8,))"
    assert identity(Logistic(view="shape")) == "Logistic(view='shape')"
