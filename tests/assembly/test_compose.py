import pytest

from fedkd.assembly.compose import compose, sweep
from fedkd.assembly.experiment import Experiment


def experiment(*overrides: str) -> Experiment:
    return Experiment.from_config(compose(["runtime=inline", *overrides]))


@pytest.mark.parametrize("override", ["method.client=fd", "method.client.name=fd"])
def test_a_client_in_anothers_place_keeps_the_plans_it_also_has_and_nothing_else(override: str) -> None:
    before = experiment("method=dsfl", "method.client.temperature=3").method.client
    after = experiment(
        "method=fd",
        "method.client=codistillation",
        "method.client.temperature=3",
        f"method.client.fit.epochs={before.fit.epochs}",
        override,
    ).method.client
    assert type(after).__name__ == "FD"
    assert after.fit.epochs == before.fit.epochs
    assert after.temperature == 1.0


def test_single_options_lie_over_kept_plans() -> None:
    client = experiment(
        "method=feddf", "method.client=fedprox", "method.client.fit.optimizer.lr=0.5"
    ).method.client
    recipe = experiment("method=feddf").method.client
    assert client.fit.optimizer.lr == 0.5
    assert client.fit.epochs == recipe.fit.epochs
    assert client.fit.optimizer.momentum == recipe.fit.optimizer.momentum


def test_another_fusion_starts_from_its_own_defaults() -> None:
    assert experiment("method=dsfl", "method.fusion=power").resolved["method"]["fusion"] == {
        "name": "power",
        "exponent": 2.0,
    }


def test_an_option_of_a_part_given_by_name_alone_is_set() -> None:
    resolved = experiment("method=dsfl", "method.fusion=power", "method.fusion.exponent=3").resolved
    assert resolved["method"]["fusion"] == {"name": "power", "exponent": 3.0}


def test_a_resolved_config_resolves_to_itself() -> None:
    resolved = experiment("method=fedmd", "model=mixed", "partition=shards").resolved
    assert Experiment.from_config(resolved).resolved == resolved


def test_a_sweep_is_every_combination_in_order() -> None:
    assert list(sweep(["method=fd,dsfl", "seed=range(0,2)", "rounds=3"])) == [
        [f"method={method}", f"seed={seed}", "rounds=3"] for method in ("fd", "dsfl") for seed in (0, 1)
    ]


def test_naming_the_part_that_stands_there_changes_nothing() -> None:
    assert (
        experiment("method=dsfl", "method.client=codistillation").resolved
        == experiment("method=dsfl").resolved
    )
