from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.models import MODELS
from fedkd.models.lenet import LeNet
from fedkd.models.logistic import Logistic
from fedkd.models.mixed import Mixed
from fedkd.models.mlp import MLP


def mixed(**options: Any) -> Mixed:
    model = MODELS.create({"name": "mixed", **options}, key="model")
    assert isinstance(model, Mixed)
    return model


@given(
    shares=st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 10.0), st.floats(0.01, 10.0)),
    clients=st.integers(1, 40),
    rule=st.sampled_from(["interleaved", "blocks"]),
)
def test_every_architecture_gets_its_share_of_clients_to_within_one(
    shares: tuple[float, float, float], clients: int, rule: str
) -> None:
    named = dict(zip(("mlp", "lenet", "logistic"), shares, strict=True))
    models = mixed(shares=named, rule=rule).per_client(clients)
    assert len(models) == clients
    for kind, share in zip((MLP, LeNet, Logistic), shares, strict=True):
        given_to = sum(isinstance(model, kind) for model in models)
        assert abs(given_to - clients * share / sum(shares)) < 1


def test_shares_are_spread_evenly_or_laid_out_in_blocks() -> None:
    shares = {"mlp": 1, "lenet": 1}
    assert [type(model) for model in mixed(shares=shares).per_client(4)] == [MLP, LeNet, MLP, LeNet]
    blocks = mixed(shares=shares, rule="blocks").per_client(4)
    assert [type(model) for model in blocks] == [MLP, MLP, LeNet, LeNet]


def test_an_architecture_can_be_given_options_under_a_name_of_ones_own() -> None:
    model = mixed(shares={"wide": 1, "mlp": 1}, models={"wide": {"name": "mlp", "hidden": [256]}})
    assert model.architectures() == {"wide": MLP(hidden=(256,)), "mlp": MLP()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": {}}, r"^model\.shares: got {}, allowed is at least one architecture"),
        ({"shares": {"mlp": -1}}, r"^model\.shares\.mlp: got -1, allowed is greater than 0"),
        (
            {"shares": {"mlp": 1}, "models": {"wide": {"name": "mlp"}}},
            r"^model\.models: got 'wide', allowed is names that stand in model\.shares",
        ),
        ({"rule": "random"}, r"^model\.rule: got 'random'"),
    ],
)
def test_mixtures_that_mean_nothing_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        mixed(**options)


def test_an_unknown_architecture_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidOption, match=r"model\.models\.mpl.*did you mean 'mlp'"):
        mixed(shares={"mpl": 1}).per_client(2)


def test_a_mixture_is_not_a_network() -> None:
    with pytest.raises(IllegalCombination, match="student=NAME"):
        mixed().network((1, 8, 8), 10)
