from typing import Literal

import pytest

from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from simulations.claims import CLAIMS, Claim
from simulations.methods import COMMON, VARIANTS, budgeted, federated
from simulations.study import Interval


@pytest.mark.parametrize("name", federated())
def test_every_recipe_joins_the_study_on_its_budget(name: str) -> None:
    experiment = Experiment.from_config(compose([*COMMON, *budgeted(name, 0.1, 0.3)]))
    assert experiment.settings.rounds * experiment.method.client.fit.epochs == 16
    recipe, once = VARIANTS.get(name, name), {"dense", "dense-probabilities", "fedavg-once"}
    assert experiment.settings.rounds == (1 if name in once else 8)
    assert experiment.method.name == recipe


def test_a_factor_multiplies_every_learning_rate_of_the_recipe() -> None:
    method = compose([*COMMON, *budgeted("dsfl", 0.1, 3.0)])["method"]
    plans = [method["client"]["digest"], method["client"]["fit"], method["distiller"]["fit"]]
    assert [plan["optimizer"]["lr"] for plan in plans] == [0.009] * 3
    assert [plan["epochs"] for plan in plans] == [2, 2, 3]


def test_references_of_claims_are_arms_of_the_study() -> None:
    assert {claim.reference for claim in CLAIMS} <= set(federated())


@pytest.mark.parametrize(
    ("sign", "low", "high", "outcome"),
    [
        (">", 0.01, 0.03, "held"),
        ("<", 0.01, 0.03, "reversed"),
        (">", -0.01, 0.03, "not settled"),
        ("<", -0.03, -0.01, "held"),
        (">", 0.02, 0.02, "not settled"),  # one seed has no interval
    ],
)
def test_a_claim_is_settled_only_by_an_interval_on_one_side_of_zero(
    sign: Literal[">", "<"], low: float, high: float, outcome: str
) -> None:
    claim = Claim("a", sign, "b", "model", "somewhere")
    assert claim.outcome(Interval((low + high) / 2, low, high)) == outcome


def test_traffic_that_does_not_vary_is_judged_by_its_mean() -> None:
    assert Claim("a", "<", "b", "megabytes", "somewhere").outcome(Interval(-1.0, -1.0, -1.0)) == "held"
