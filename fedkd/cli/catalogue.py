"""`fedkd list`: everything that a recipe can name, with its options and its source."""

import dataclasses
import importlib
import inspect
import sys
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.assembly.compose import recipes
from fedkd.assembly.settings import BASELINES
from fedkd.cli.guide import comment_of, options_table
from fedkd.cli.methods import facts_of, read_methods
from fedkd.cli.methods_page import page_of
from fedkd.clients import CLIENTS
from fedkd.data.datasets import DATASETS
from fedkd.data.partitions import PARTITIONS
from fedkd.data.proxies import PROXIES
from fedkd.distillation import Distiller
from fedkd.engine.engines import ENGINES
from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.foundation.parts import options_of, summary_of
from fedkd.foundation.registry import Family
from fedkd.knowledge import CODECS, KINDS
from fedkd.models import MODELS
from fedkd.objectives import TERMS
from fedkd.runtime.runtimes import RUNTIMES
from fedkd.strategies import STRATEGIES

FAMILIES: dict[str, tuple[str, Family]] = {
    "datasets": ("data", DATASETS),
    "partitions": ("partition", PARTITIONS),
    "proxies": ("proxy", PROXIES),
    "models": ("model", MODELS),
    "engines": ("engine", ENGINES),
    "runtimes": ("runtime", RUNTIMES),
    "clients": ("method.client", CLIENTS),
    "strategies": ("method.strategy", STRATEGIES),
    "knowledge": ("method.knowledge", KINDS),
    "codecs": ("method.codec", CODECS),
    "weightings": ("method.weighting", WEIGHTINGS),
    "fusions": ("method.fusion", FUSIONS),
    "terms": ("method.distiller.terms", TERMS),
}
"""Kind of part -> the key that takes it, and where its names are found."""

BASELINE_WORDS = {
    "local_only": "Each client alone: method=local with the run's own local training.",
    "fedavg": "Averaging of weights (McMahan et al., 2017), with the run's own local training.",
    "pooled": "All clients' data in one place: the upper reference.",
    "proxy_labels": "The student trained on the true labels of the proxy set, if it has any.",
    "pseudo_labels": "The run's method, distilled from the label that the teachers name in place of their soft answer.",
}


@dataclass(frozen=True)
class Entry:
    """A part by its name: the class, or why it cannot be used."""

    name: str
    cls: type | None
    broken: str = ""


def list_kinds(*, own: Path | None) -> None:
    """Write every kind with its names."""
    console = Console()
    console.print("`fedkd list KIND` explains each of them.", markup=False, highlight=False)
    named: dict[str, list[str]] = {"methods": recipes("method", own)}
    named |= {kind: family.names() for kind, (_, family) in FAMILIES.items()}
    named |= {"baselines": [*BASELINES]}
    for kind, names in named.items():
        # One line for each kind, however long: a terminal breaks it, a pipe does not.
        console.print(f"[bold]{kind:<12}[/bold]{', '.join(names)}", highlight=False, soft_wrap=True)


def list_kind(kind: str, *, own: Path | None) -> None:
    """Write everything there is of one kind.

    Raises:
        InvalidOption: there is no such kind.
    """
    known = ["methods", *FAMILIES, "baselines"]
    console = Console()
    if kind == "methods":
        _methods(console, own)
    elif kind == "baselines":
        for name in BASELINES:
            _heading(console, name, BASELINE_WORDS[name])
        console.print(
            "\nchosen with baselines=all, baselines=NAME or baselines=[NAME,NAME]",
            highlight=False,
            markup=False,
        )
    elif kind in FAMILIES:
        _family(console, *FAMILIES[kind])
    else:
        raise InvalidOption("list", kind, f"one of {', '.join(known)}", nearest(kind, known))


def list_markdown(kind: str | None, *, own: Path | None) -> None:
    """Write the page of all methods as Markdown.

    Raises:
        InvalidOption: another kind, of which there is no page.
    """
    if kind != "methods":
        raise InvalidOption("list --markdown", kind, "methods", nearest(kind or "", ["methods"]))
    sys.stdout.write(page_of(read_methods(own).values()))


def entries(family: Family) -> Iterator[Entry]:
    """Yield every part of a family; one that is broken says so, and keeps no other away."""
    for name in family.names():
        try:
            cls = family.find(name, key=family.kind)
            options_of(cls)
        except Exception as error:  # noqa: BLE001  (a plug-in may fail in any way, and must break nothing but itself)
            yield Entry(name, None, " ".join(str(error).split()))
        else:
            yield Entry(name, cls)


def source_of(cls: type) -> str:
    """Return the first paragraph of the module that defines a part: what it is and where it comes from."""
    words = inspect.getdoc(importlib.import_module(cls.__module__)) or ""
    return " ".join(words.split("\n\n", maxsplit=1)[0].split())


def _methods(console: Console, own: Path | None) -> None:
    for name, recipe in read_methods(own).items():
        _heading(console, name, comment_of("method", name, own))
        if recipe.method is None:
            console.print(Padding(f"broken: {escape(recipe.broken)}", (0, 0, 0, 2)))
        else:
            for fact in dataclasses.fields(facts := facts_of(recipe)):
                _line(console, fact.name.replace("_", " "), str(getattr(facts, fact.name)).replace("`", ""))
        for slot, value in recipe.values.items():
            if slot != "name" and value is not None:
                _line(console, slot, _flow(value))
    console.print(
        "\nchosen with method=NAME; every part and option can be changed: method.fusion=power",
        highlight=False,
        markup=False,
    )
    _heading(console, "distiller", summary_of(Distiller))
    console.print(options_table(options_of(Distiller), prefix="method.distiller."))
    _nested(console, [Distiller])


def _family(console: Console, key: str, family: Family) -> None:
    found = list(entries(family))
    for entry in found:
        if entry.cls is None:
            _heading(console, entry.name, f"broken: {entry.broken}")
            continue
        _heading(console, entry.name, summary_of(entry.cls))
        console.print(Padding(f"[dim]{escape(source_of(entry.cls))}[/dim]", (0, 0, 0, 2)), highlight=False)
        if options := options_of(entry.cls):
            console.print(options_table(options, prefix=f"{key}."))
    _nested(console, [entry.cls for entry in found if entry.cls is not None])
    console.print(
        f"\nchosen with {key}=NAME, or {key}=module:Class for one of your own", highlight=False, markup=False
    )


def _nested(console: Console, classes: Iterable[type]) -> None:
    """Explain once each part that others have as an option, like the plan of a training."""
    wanted = list(classes)
    found: dict[type, None] = {}
    while wanted:
        hints = typing.get_type_hints(cls := wanted.pop(0))
        inner = [hints[field.name] for field in dataclasses.fields(cls)]
        fresh = [
            hint
            for hint in inner
            if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in found
        ]
        found.update(dict.fromkeys(fresh))
        wanted += fresh
    for cls in found:
        _heading(console, cls.__name__, summary_of(cls))
        console.print(options_table(options_of(cls), prefix="."))


def _heading(console: Console, name: str, words: str) -> None:
    console.print(f"\n[bold]{escape(name)}[/bold]  {escape(words)}", highlight=False)


def _line(console: Console, name: str, words: str) -> None:
    console.print(Padding(f"[cyan]{name:<11}[/cyan]{escape(words)}", (0, 0, 0, 2)), highlight=False)


def _flow(value: object) -> str:
    """Return a value of a recipe as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").strip()
