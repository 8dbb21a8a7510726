"""What goes with what: weightings, fusions, codecs and kinds of knowledge, asked of the checks that refuse a run.

Nothing here knows a rule. Every combination of built-in parts is put into a method and shown to `check_parts`, which accepts it or
says why not, and with each kind of task to `check_task`, of which one must accept it; what is always refused alike stands in one column.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.assembly.combinations import check_parts
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.tasks import check_task
from fedkd.cli.methods import Recipe
from fedkd.data.datasets import DATASETS
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.registry import Family
from fedkd.knowledge import CODECS, KINDS

FAMILIES: dict[str, Family] = {
    "knowledge": KINDS,
    "codec": CODECS,
    "codec_down": CODECS,
    "weighting": WEIGHTINGS,
    "fusion": FUSIONS,
}
"""The slots whose parts are exchanged."""

_SETS: dict[str, dict[str, str]] = {
    "classification": {"name": "digits"},
    "generation": {"name": "grammar"},
    "multitask_classification": {"name": "diamonds_grades"},
    "ranking": {"name": "movielens"},
    "recognition": {"name": "orl_faces"},
    "regression": {"name": "diabetes"},
    "gaussian_regression": {"name": "diabetes", "predicts": "gaussian"},
}
"""A data set of each kind of task; nothing is loaded."""


@dataclass(frozen=True)
class Table:
    """Rows and columns of names; in each cell nothing where it is allowed, else why it is not."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    refused: Mapping[tuple[str, str], str | None]


class Refusals:
    """Asks the checks about methods that nobody has written a recipe for."""

    def __init__(self) -> None:
        self._base = Experiment.from_config(compose(["method=feddf", "proxy.labelled=true"]))
        self._sets = {task: DATASETS.create(spec, key="data") for task, spec in _SETS.items()}

    def why(self, recipe: Recipe, **changed: str | None) -> str | None:
        """Return why a recipe with other parts is refused on every task, and the way out; nothing where it is not.

        Args:
            recipe: the method.
            changed: names of other parts by their slots.
        """
        experiment = self._with(recipe, changed)
        try:
            check_parts(experiment)
        except IllegalCombination as error:
            return str(error)
        if not any(self._works(experiment, task) for task in _SETS):
            return "no kind of task has all of these parts"
        return None

    def tasks(self, recipe: Recipe, **changed: str | None) -> tuple[str, ...]:
        """Return the kinds of task on which a recipe with other parts works, whether or not these go together."""
        experiment = self._with(recipe, changed)
        return tuple(task for task in _SETS if self._works(experiment, task))

    def _works(self, experiment: Experiment, task: str) -> bool:
        resolved = {**experiment.resolved, "data": _SETS[task]}
        try:
            check_task(dataclasses.replace(experiment, data=self._sets[task], resolved=resolved))
        except IllegalCombination:
            return False
        return True

    def _with(self, recipe: Recipe, changed: Mapping[str, str | None]) -> Experiment:
        assert recipe.method is not None
        parts: dict[str, Any] = {
            slot: None if name is None else _part(slot, name) for slot, name in changed.items()
        }
        named = {slot: None if name is None else {"name": name} for slot, name in changed.items()}
        return dataclasses.replace(
            self._base,
            method=dataclasses.replace(recipe.method, **parts),
            resolved={**self._base.resolved, "method": {**recipe.resolved, **named}},
        )


def working(recipes: Iterable[Recipe]) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Yield slots, the parts of it that work on the same kinds of task, and these kinds; all kinds come first.

    Parts are put into a recipe that works on every task, feddf with the mean of logits.
    """
    refusals = Refusals()
    recipe = next(recipe for recipe in recipes if recipe.name == "feddf")
    for slot in ("knowledge", "weighting", "fusion"):
        alike: dict[tuple[str, ...], list[str]] = {}
        for name in FAMILIES[slot].built_in():
            alike.setdefault(refusals.tasks(recipe, **{slot: name}), []).append(name)
        for tasks in sorted(alike, key=len, reverse=True):
            yield slot, tuple(alike[tasks]), tasks


def fusing(recipes: Iterable[Recipe]) -> Iterator[Table]:
    """Yield for each server strategy that fuses, and each kind of knowledge that it takes, its weightings against its fusions.

    Strategies and kinds with the same answers share a table.
    """
    refusals = Refusals()
    tables: dict[tuple[str | None, ...], list[Table]] = {}
    for recipe in _one_each(recipes):
        assert recipe.method is not None
        if not recipe.method.strategy.needs_fusion:
            continue
        for kind in recipe.method.strategy.takes:
            plain = {"knowledge": kind, "codec": "float32", "codec_down": None}
            refused = {
                (weighting, fusion): refusals.why(recipe, **plain, weighting=weighting, fusion=fusion)
                for weighting, fusion in itertools.product(WEIGHTINGS.built_in(), FUSIONS.built_in())
            }
            title = f"`{recipe.resolved['strategy']['name']}` of `{kind}`"
            table = _grouped(title, WEIGHTINGS.built_in(), FUSIONS.built_in(), refused)
            tables.setdefault(tuple(table.refused.values()), []).append(table)
    for alike in tables.values():
        yield dataclasses.replace(alike[0], title=" and ".join(table.title for table in alike))


def coding(recipes: Iterable[Recipe]) -> Table:
    """Return each server strategy and kind of knowledge that it takes against the codecs of what goes up."""
    refusals, refused, rows = Refusals(), dict[tuple[str, str], str | None](), list[str]()
    for recipe in _one_each(recipes):
        assert recipe.method is not None
        fusion = recipe.resolved["fusion"]
        for kind in recipe.method.strategy.takes:
            if kind is None:
                continue
            row = f"`{recipe.resolved['strategy']['name']}` of `{kind}`"
            rows.append(row)
            for codec in CODECS.built_in():
                changed = {"knowledge": kind, "codec": codec, "codec_down": "float32"}
                refused[row, codec] = refusals.why(recipe, **changed, fusion=fusion and fusion["name"])
    return _grouped("codecs", rows, CODECS.built_in(), refused)


def fusing_nothing(recipes: Iterable[Recipe]) -> dict[str, str]:
    """Return each server strategy that refuses a fusion, with its reason."""
    refusals = Refusals()
    found = {}
    for recipe in _one_each(recipes):
        why = refusals.why(recipe, fusion="mean_logits")
        if why is not None:
            found[str(recipe.resolved["strategy"]["name"])] = why
    return found


@functools.cache
def _part(slot: str, name: str) -> Any:
    """Return a part with its default options; each is made once, since finding one by its name takes milliseconds."""
    return FAMILIES[slot].create(name, key=f"method.{slot}")


def in_short(reasons: Iterable[str | None]) -> str:
    """Return reasons, each once, without the key and the value that they begin with."""
    short = {re.sub(r"^method\.\w+=[^\s:]+:? ", "", reason) for reason in reasons if reason}
    return ". ".join(sorted(short))


def _one_each(recipes: Iterable[Recipe]) -> Iterator[Recipe]:
    """Yield one recipe for each server strategy."""
    seen = set[str]()
    for recipe in recipes:
        if recipe.method is not None and (name := str(recipe.resolved["strategy"]["name"])) not in seen:
            seen.add(name)
            yield recipe


def _grouped(
    title: str, rows: Iterable[str], columns: Iterable[str], refused: Mapping[tuple[str, str], str | None]
) -> Table:
    """Put columns with the same answers into one; the largest such group is the last, and is not spelled out."""
    rows, alike = tuple(rows), dict[tuple[bool, ...], list[str]]()
    for column in columns:
        alike.setdefault(tuple(refused[row, column] is None for row in rows), []).append(column)
    *groups, most = sorted(alike.values(), key=len)
    names = {", ".join(f"`{name}`" for name in group): group[0] for group in groups}
    names["all others" if groups else "all"] = most[0]
    cells = {(row, name): refused[row, first] for row in rows for name, first in names.items()}
    return Table(title, rows, tuple(names), cells)
