from pathlib import Path

import pytest
import yaml

from fedkd.assembly.compose import compose, sweep
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import InvalidOption


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


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a recipe that presets other groups."""
    (tmp_path / "method").mkdir()
    recipe = compose(["method=local"])["method"] | {
        "name": "central",
        "preset": ["partition=shared", "clients=2", "model=mlp", "model.hidden=[7]"],
    }
    (tmp_path / "method" / "central.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def test_the_preset_of_a_method_stands_where_nothing_else_is_said(own: Path) -> None:
    config = compose(["method=central", "seed=3"], own=own)
    assert config["partition"]["name"] == "shared"
    assert (config["clients"], config["seed"], config["model"]["hidden"]) == (2, 3, [7])
    assert "preset" not in config["method"]
    assert "preset" not in Experiment.from_config(config).resolved["method"]


def test_what_is_said_lies_over_a_preset(own: Path) -> None:
    config = compose(["clients=5", "method=central", "model=logistic", "partition.noise=0.5"], own=own)
    assert (config["clients"], config["model"]) == (5, {"name": "logistic"})
    assert config["partition"]["name"] == "shared"
    assert config["partition"]["noise"] == 0.5
    assert compose(["method=central", "partition=iid"], own=own)["partition"]["name"] == "iid"


@pytest.mark.parametrize("preset", ["clients=2", ["method.client.fit.epochs=1"], ["method=fedavg"]])
def test_a_preset_is_a_list_about_everything_but_the_method(own: Path, preset: object) -> None:
    path = own / "method" / "central.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"preset": preset}))
    with pytest.raises(InvalidOption, match="preset"):
        compose(["method=central"], own=own)
