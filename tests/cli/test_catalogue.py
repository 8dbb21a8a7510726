"""`fedkd list` knows every part, and every option of it."""

from collections.abc import Callable
from typing import Any

import pytest

Command = Callable[..., Any]

KINDS = [
    "methods",
    "datasets",
    "partitions",
    "proxies",
    "models",
    "engines",
    "runtimes",
    "clients",
    "strategies",
    "knowledge",
    "codecs",
    "weightings",
    "fusions",
    "terms",
    "baselines",
]


def test_all_kinds_are_listed_with_their_names(command: Command) -> None:
    lines: dict[str, str] = {}
    for line in command("list").out.splitlines()[1:]:
        kind = list(lines)[-1] if line.startswith(" ") else line.split()[0]  # a long list goes on below
        lines[kind] = f"{lines.get(kind, '')} {line.removeprefix(kind).strip()}"
    assert sorted(lines) == sorted(KINDS)
    assert "dirichlet" in lines["partitions"]
    assert "mean_logits, mean_probabilities" in lines["fusions"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_a_kind_is_explained(kind: str, command: Command) -> None:
    from fedkd.assembly.compose import recipes
    from fedkd.assembly.settings import BASELINES
    from fedkd.cli.catalogue import FAMILIES
    from fedkd.foundation.parts import options_of, summary_of

    said = command("list", kind)
    assert said.code == 0, said.err
    text = " ".join(said.out.split())
    if kind in FAMILIES:
        key, family = FAMILIES[kind]
        for name in family.names():
            cls = family.find(name, key=key)
            assert " ".join(f"{name} {summary_of(cls)}".split()) in text
            for option in options_of(cls):
                assert f" {key}.{option.name} " in text
    for name in {"methods": recipes("method"), "baselines": BASELINES}.get(kind, ()):
        assert f"\n{name}  " in said.out


def test_an_option_is_shown_with_its_default_range_and_source(command: Command) -> None:
    text = " ".join(command("list", "fusions").out.split())
    assert "ERA, of DS-FL (Itahara et al., 2020)" in text
    assert "method.fusion.temperature float 0.1 > 0 " in text


def test_the_options_of_an_option_are_explained_once(command: Command) -> None:
    out = command("list", "clients").out
    assert out.count("\nFit  ") == out.count("\nOptimizer  ") == 1
    assert " .lr " in out


def test_a_plugin_is_listed_and_a_broken_one_hides_no_other(
    plugin: Callable[[str, str, str], None], command: Command
) -> None:
    plugin("fedkd.fusions", "crooked", "no_such_module:Crooked")
    said = command("list", "fusions")
    assert said.code == 0
    assert "crooked  broken: " in said.out
    assert "no_such_module" in said.out
    for name in ("era", "mean_logits", "power"):
        assert f"\n{name}  " in said.out
    assert "crooked" in command("list").out
    page = command("list", "methods", "--markdown")
    assert page.code == 0
    assert "crooked" not in page.out


def test_a_plugin_that_works_is_explained(plugin: Callable[[str, str, str], None], command: Command) -> None:
    plugin("fedkd.fusions", "sharper", "fedkd.aggregation.fusions.power:Power")
    assert "\nsharper  The mean probability to a power" in command("list", "fusions").out
