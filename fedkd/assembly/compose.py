"""Composing a config: Hydra chooses the recipes of each group, then single values are set over them.

>>> compose(["method=dsfl", "partition.alpha=0.1", "method.fusion=power"])["method"]["fusion"]
'power'
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import fedkd
from fedkd.foundation.errors import FedkdError, InvalidOption, nearest

GROUPS = ("method", "data", "partition", "proxy", "model", "student", "engine", "runtime")
"""The groups of recipes; each is a folder of YAML files."""

PRESET = "preset"
"""Key of a method's recipe: overrides of other groups and of single keys that stand where the user says nothing else."""

PLANS = "plans of the part before"
"""Key under which the training plans of a part stand that was given another name."""


class UnreadableOverride(FedkdError):
    """Something on the command line that is not of the form key=value."""


def recipes_dir() -> Path:
    """Return the folder of the recipes: inside an installed package, beside the package in an editable install."""
    package = Path(fedkd.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def recipes(group: str, own: Path | None = None) -> list[str]:
    """Return the names of the recipes of a group, the built-in ones and those of a folder of one's own."""
    folders = [recipes_dir(), *([own] if own else [])]
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def compose(overrides: Sequence[str], *, own: Path | None = None) -> dict[str, Any]:
    """Return the config that a list of overrides describes.

    Args:
        overrides: `group=recipe` and `key=value`, as on the command line.
        own: a folder of recipes of one's own, laid out as the built-in one (`method/mine.yaml`).

    Raises:
        InvalidOption: no such recipe.
        UnreadableOverride: not of the form key=value, or a recipe that is no YAML.
    """
    if own is not None and not own.is_dir():
        raise InvalidOption("--config-dir", str(own), "an existing folder")
    given = _read(overrides, own)
    config, preset = _choose(given.chosen, own)
    if preset:
        usual = _read(preset, own)
        groups = {key: recipe for key, recipe in usual.chosen.items() if key not in given.chosen}
        config, _ = _choose({**groups, **given.chosen}, own)
        for key, value in usual.single:
            if key.partition(".")[0] not in given.chosen:
                _set(config, key.split("."), value)
    for key, value in given.single:
        _set(config, key.split("."), value)
    return config


class _Overrides(NamedTuple):
    """Overrides: the recipe that is chosen of each group, and single values in their order."""

    chosen: dict[str, str]
    single: list[tuple[str, Any]]


def _read(overrides: Sequence[str], own: Path | None) -> _Overrides:
    """Return overrides apart, after a look at whether the recipes are there."""
    chosen, single = dict[str, str](), []
    for override in _parse(overrides):
        key, value = override.key_or_group, override.value()
        if override.is_sweep_override():
            raise UnreadableOverride(
                f"{override.input_line}: several values make a sweep; add -m to run one after the other"
            )
        if key in GROUPS and isinstance(value, str) and ":" not in value:
            known = recipes(key, own)
            if value not in known:
                raise InvalidOption(
                    key,
                    value,
                    f"one of {', '.join(known)}; `fedkd list {_plural(key)}` explains them",
                    nearest(value, known),
                )
            chosen[key] = value
        elif key == "method.name":
            raise InvalidOption(
                key, value, "no value: a method's name is that of its recipe, which method=NAME chooses"
            )
        else:
            single.append((key, value))
    return _Overrides(chosen, single)


def sweep(overrides: Sequence[str], *, own: Path | None = None) -> Iterator[list[str]]:
    """Yield the overrides of every run of a sweep: each combination of the values that are given with commas or ranges.

    Args:
        overrides: as for `compose`, and `key=a,b`, `key=range(3)`, `group=glob(fed*)`.
        own: a folder of recipes of one's own, in which globs look too.
    """
    axes = []
    for override in _parse(overrides):
        key = override.key_or_group
        value: object = override.value()
        if isinstance(value, Glob):
            names = value.filter(recipes(key, own)) if key in GROUPS else []
            if not names:
                raise UnreadableOverride(f"{override.input_line}: there are no recipes of {key} that match")
            axes.append([f"{key}={name}" for name in names])
        elif override.is_sweep_override():
            axes.append([f"{key}={choice}" for choice in override.sweep_string_iterator()])
        else:
            axes.append([str(override.input_line)])
    for combination in itertools.product(*axes):
        yield list(combination)


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        first = str(error).splitlines()[0].rstrip(". ")
        raise UnreadableOverride(f"cannot read the options ({first}); they have the form key=value") from None
    for override in parsed:
        if not override.key_or_group:
            raise UnreadableOverride(
                f"{override.input_line}: an option without a key; options have the form key=value"
            )
        if override.is_delete():
            raise UnreadableOverride(
                f"{override.input_line}: an option cannot be deleted; set it to null or to another value"
            )
    return parsed


def _choose(chosen: Mapping[str, str], own: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Return the recipes as one config, and the preset of the method: overrides that stand where nothing else is said."""
    GlobalHydra.instance().clear()
    search = [f"hydra.searchpath=[file://{own.resolve()}]"] if own else []
    try:
        with initialize_config_dir(str(recipes_dir()), version_base="1.3", job_name="fedkd"):
            groups = [f"{key}={recipe}" for key, recipe in chosen.items()]
            config = hydra_compose("config", overrides=[*groups, *search])
        plain = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, UnicodeError) as error:
        raise UnreadableOverride(f"a recipe cannot be read: {' '.join(str(error).split())[:300]}") from None
    assert isinstance(plain, dict)
    method = plain["method"]
    preset = method.pop(PRESET, []) if isinstance(method, dict) else []
    if not isinstance(preset, list) or any(str(line).startswith(("method=", "method.")) for line in preset):
        raise InvalidOption(
            f"method.{PRESET}", preset, "a list of overrides of other groups: [partition=shared, clients=1]"
        )
    return {str(key): value for key, value in plain.items()}, [str(line) for line in preset]


def _set(config: dict[str, Any], path: list[str], value: Any) -> None:
    """Set one value; a part that is given by its name alone becomes a mapping when an option of it is set.

    Giving another name to a part drops its options, which were the other part's, but for its training plans (`fit`, `digest`,
    ...): those stand by under `PLANS`, for a part that has plans of the same names, so that a comparison stays one.
    """
    *parents, last = path
    place = config
    for step in parents:
        inner = place.get(step)
        if isinstance(inner, str):
            inner = {"name": inner}
        elif not isinstance(inner, Mapping):
            inner = {}
        place[step] = inner = dict(inner)
        place = inner
    if last == "name" and place.get("name") not in {None, value}:
        plans = _plans(place)
        place.clear()
        place.update(plans)
    elif isinstance(value, str) and isinstance(inner := place.get(last), Mapping) and "name" in inner:
        if inner["name"] == value:
            return  # the part that stands there, with the recipe's options
        value = {"name": value, **plans} if (plans := _plans(inner)) else value
    place[last] = value


def _plans(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the training plans of a part, set apart; nothing for a part without."""
    plans = {
        key: value
        for key, value in part.items()
        if isinstance(value, Mapping) and key != PLANS and "name" not in value  # a part is no plan
    }
    plans = {**part.get(PLANS, {}), **plans}
    return {PLANS: plans} if plans else {}


def _plural(group: str) -> str:
    return {"method": "methods", "data": "datasets", "proxy": "proxies", "student": "models"}.get(
        group, f"{group}s"
    )
