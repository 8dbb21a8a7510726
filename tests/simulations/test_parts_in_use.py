"""Every loss term, weighting, fusion and codec is one line away from a recipe, and some recipe or study uses it."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.assembly.compose import compose, recipes_dir
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import FedkdError
from fedkd.foundation.registry import Family
from fedkd.knowledge import CODECS
from fedkd.objectives import TERMS

ROOT = Path(__file__).parents[2]

LINES: dict[str, tuple[Family, tuple[str, ...]]] = {
    "terms": (
        TERMS,
        (
            "method.distiller.terms=[NAME]",
            "method.distiller.terms=[{name:NAME,student_layer:body.3,teacher_layer:body.3}]",
            "method.distiller.terms=[{name:NAME,student_layers:[body.0,body.3],teacher_layers:[body.0,body.3]}]",
        ),
    ),
    "weighting": (WEIGHTINGS, ("method.weighting=NAME",)),
    "fusion": (FUSIONS, ("method.fusion=NAME",)),
    "codec": (CODECS, ("method.codec=NAME",)),
}
"""The slot of a recipe -> the family of its parts, and the lines of which one names any of them."""

RUNS = (
    ["method=feddf"],
    ["method=dsfl"],
    ["method=feddf", "data=diabetes"],
    ["method=feddf", "data=diabetes", "data.predicts=gaussian"],
    ["method=feddf", "model=lenet", "model.kernel=3"],
    ["method=voted_triplets", "method.distiller={}"],
    ["method=enhancement"],
    ["method=feddf", "data=orl_faces"],
)
"""Runs to which a line may be added: weights cross, answers cross, numbers are predicted, with their variances too, layers are maps, teachers are apart,
clients send class counts, networks embed."""


@pytest.mark.parametrize(
    ("slot", "name"), [(slot, name) for slot, (family, _) in LINES.items() for name in family.names()]
)
def test_a_part_is_one_line_away_from_a_recipe(slot: str, name: str) -> None:
    refusals = []
    for line, run in itertools.product((line.replace("NAME", name) for line in LINES[slot][1]), RUNS):
        try:
            experiment = Experiment.from_config(compose([*run, line]))
        except FedkdError as error:
            refusals.append(str(error))
            continue
        assert name in set(names_in(experiment.resolved["method"], slot))
        return
    pytest.fail("\n".join(refusals))


@pytest.mark.parametrize("slot", LINES)
def test_a_part_is_used_by_a_recipe_or_a_study(slot: str) -> None:
    family, _ = LINES[slot]
    used = {name for path in recipes_dir().glob("method/*.yaml") for name in names_in(_recipe(path), slot)}
    used |= {name for path in (ROOT / "simulations").glob("*.py") for name in _in_study(path, slot)}
    assert set(family.names()) - used == set(), "no recipe and no study uses these"


def names_in(value: Any, slot: str) -> Iterator[str]:
    """Yield the names of the parts in a slot anywhere in a recipe, those inside other parts (`of`) included."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key == slot or (slot == "codec" and key in {"codec_down", "of"}):
            yield from (
                str(part["name"] if isinstance(part, dict) else part)
                for part in (inner if isinstance(inner, list | tuple) else [inner])
                if part is not None
            )
        yield from names_in(inner, slot)


def _recipe(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _in_study(path: Path, slot: str) -> Iterator[str]:
    """Yield what may be names of parts in the strings of a study that sets the slot; words in docstrings are no strings of it.

    A study that walks the whole family uses all of it.
    """
    family, tree = LINES[slot][0], ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    if not any(
        f"method.{slot}" in text or f".{slot}=" in text or f".{slot}.name=" in text for text in strings
    ):
        return
    walked = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "names" and isinstance(node.value, ast.Name)
    }
    if {"terms": "TERMS", "weighting": "WEIGHTINGS", "fusion": "FUSIONS", "codec": "CODECS"}[slot] in walked:
        yield from family.names()
    for text in strings:
        yield from _named(text)


def _named(text: str) -> Iterator[str]:
    """Yield the names in an override or in a value of one: `key=name`, `{name: name, of: name}`, `[name, name]`, or a bare name."""
    for override in text.split() if "=" in text and "{" not in text else [text]:
        value = yaml.safe_load(override.rpartition("=")[2] or "null") if _readable(override) else None
        wanted = [value]
        while wanted:
            value = wanted.pop()
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                wanted += value
            elif isinstance(value, dict):
                wanted += [
                    value.get("name"),
                    value.get("of"),
                    *(v for v in value.values() if isinstance(v, dict | list)),
                ]


def _readable(text: str) -> bool:
    try:
        yaml.safe_load(text.rpartition("=")[2])
    except yaml.YAMLError:
        return False
    return True
