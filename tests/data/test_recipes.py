from pathlib import Path

import pytest
import yaml

import fedkd
from fedkd.data.datasets import DATASETS
from fedkd.data.partitions import PARTITIONS
from fedkd.data.proxies import PROXIES
from fedkd.foundation.parts import dump
from fedkd.foundation.registry import Family

CONFIGS = Path(fedkd.__file__).parents[1] / "configs"
GROUPS = {"data": DATASETS, "partition": PARTITIONS, "proxy": PROXIES}


@pytest.mark.parametrize(("group", "family"), GROUPS.items())
def test_every_part_has_a_recipe_that_states_each_option_with_its_default(group: str, family: Family) -> None:
    recipes = {path.stem: yaml.safe_load(path.read_text()) for path in (CONFIGS / group).glob("*.yaml")}
    assert sorted(recipes) == family.names()
    for name, recipe in recipes.items():
        assert recipe == {"name": name, **dump(family.find(name, key=group)())}
        assert dump(family.create(recipe, key=group)) == {
            key: value for key, value in recipe.items() if key != "name"
        }
