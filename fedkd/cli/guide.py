"""What `fedkd run --help` adds: every key of a run and every recipe, from the places where they are defined."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedkd.assembly.compose import GROUPS, recipes, recipes_dir
from fedkd.assembly.settings import Settings
from fedkd.foundation.parts import Option, options_of

LISTS = {
    "method": "methods",
    "data": "datasets",
    "partition": "partitions",
    "proxy": "proxies",
    "model": "models",
    "student": "models",
    "engine": "engines",
    "runtime": "runtimes",
}
"""Which `fedkd list` explains a group of recipes."""


def explain_keys() -> None:
    """Write the keys of a run, and the groups with their recipes."""
    console = Console()
    console.print("[bold]Keys of a run[/bold] (KEY=VALUE)")
    console.print(options_table(options_of(Settings)))
    console.print("[bold]Groups[/bold]: GROUP=RECIPE chooses one, GROUP.OPTION=VALUE sets an option of it")
    for group in GROUPS:
        console.print(
            f"\n[bold]{group}[/bold]  (`fedkd list {LISTS[group]}` explains every option)", highlight=False
        )
        console.print(recipes_table(group))
    console.print(
        "\nParts of a method are set the same way: method.fusion=power method.fusion.exponent=3; `fedkd list` names their kinds.\n"
        "A part of your own is given as module:Class, in place of a name.",
        highlight=False,
        markup=False,
    )


def options_table(options: Iterable[Option], *, prefix: str = "") -> Table:
    """Lay out options: key, type, default, range and what each does."""
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=True, header_style="dim")
    for heading in ("key", "type", "default", "range"):
        table.add_column(heading, overflow="fold")
    table.add_column("what it does", ratio=1)
    for option in options:
        cells = (prefix + option.name, option.type, _brief(option.default), option.range, option.doc)
        table.add_row(*map(escape, cells))
    return table


def recipes_table(group: str, own: Path | None = None) -> Table:
    """Lay out the recipes of a group, each with its comment."""
    table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(ratio=1)
    for name in recipes(group, own):
        table.add_row(name, escape(comment_of(group, name, own)))
    return table


def comment_of(group: str, name: str, own: Path | None = None) -> str:
    """Return the comment that a recipe begins with, on one line."""
    folders = [recipes_dir(), *([own] if own else [])]
    path = next(path for folder in folders if (path := folder / group / f"{name}.yaml").exists())
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _brief(default: str) -> str:
    """Return the name of a part whose options are explained elsewhere, and every other default as it is."""
    return (
        f"{default.partition('(')[0]}(...)"
        if default[:1].isupper() and default.endswith(")") and len(default) > 24
        else default
    )
