"""docs/methods.md: every method recipe on one page, written from the code.

>>> page_of(read_methods().values()).startswith("# Methods")
True
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from fedkd.aggregation import WEIGHTINGS
from fedkd.aggregation.teachers import Need
from fedkd.assembly.combinations import NEEDED
from fedkd.assembly.compose import PRESET, recipes_dir
from fedkd.cli.allowed import Table, coding, fusing, fusing_nothing, in_short, working
from fedkd.cli.formulas import SYMBOLS
from fedkd.cli.methods import Recipe, facts_of, file_of, paper_of, parts_of, words_of_part
from fedkd.foundation.parts import summary_of
from fedkd.tasks import TASKS

COMMAND = "fedkd list methods --markdown"
"""What prints the page."""

_HEADINGS = ("method", "up", "down", "bytes up", "bytes down", "public set", "mixed models", "student")


_OPENING = (
    f"Every method is a recipe, `fedkd run method=NAME`. `make docs` writes this page (`{COMMAND}`) from the recipes, their parts and their docstrings: "
    "edit those. How the answers of many teachers become one is told in [weighting and fusion](fusion.md), what a student can learn by in "
    "[losses](losses.md), and how to add a method in [contributing](../CONTRIBUTING.md)."
)
_CROSSES = (
    "Payload in bytes of one round, without the envelopes of messages; the [ledger](runs.md) of a run has every byte. Formulas are read off the functions "
    "that count; bits are rounded up to whole bytes, and a class that is sent by its number takes the bits that 8 to 15 classes need. A *public set* is "
    "labelled where its true labels are learned or weighed by. A *student* is a network of the server's own."
)
_GOES = (
    "Every combination of built-in parts, with their default options, was shown to the checks that refuse a run. *Yes* is yes on at least one kind of task: "
    "on those on which every part works. What a weighting *needs* must be there besides:"
)


def page_of(recipes: Iterable[Recipe]) -> str:
    """Return the page; what is broken is named and keeps no other away."""
    recipes = list(recipes)
    sound = [recipe for recipe in recipes if recipe.method is not None]
    needs = (f"**{need}**: {words}" for need, words in sorted(NEEDED.items()) if need != "clients")
    symbols = (f"**{symbol}** {words}" for symbol, words in SYMBOLS.items())
    parts = [
        "# Methods",
        _OPENING,
        "## What crosses",
        f"{_CROSSES} {' · '.join(symbols)}.",
        *(f"`{recipe.name}` is broken: {recipe.broken}" for recipe in recipes if recipe.method is None),
        "\n".join(_rows(_HEADINGS, ([f"[`{r.name}`](#{r.name})", *_cells(r)] for r in sound))),
        *(_section(recipe) for recipe in sound),
        "## What goes with what",
        f"{_GOES} {' · '.join(needs)}.",
        "### Kinds of task",
        "\n".join(_rows(("slot", "parts", "work on"), _tasks(sound))),
        *(_fusing(table) for table in fusing(sound)),
        "### Strategies that fuse nothing",
        "\n".join(_rows(("strategy", "why not"), _refusals(sound))),
        "### Codecs of what goes up",
        _coding(coding(sound)),
    ]
    return "\n\n".join(parts) + "\n"


def _cells(recipe: Recipe) -> list[str]:
    facts = facts_of(recipe)
    return [facts.up, facts.down, facts.bytes_up, facts.bytes_down, facts.public, facts.mixed, facts.student]


def _section(recipe: Recipe) -> str:
    """Return what there is to say of one method."""
    said = [(slot, words_of_part(part)) for slot, part in parts_of(recipe)]
    equations = [equation for _, words in said for equation in words.equations]
    differences = [
        *recipe.comment.differences,
        *(f"{difference} (`{slot}`)" for slot, words in said for difference in words.differences),
    ]
    paper = paper_of(recipe)
    lines = [f"### {recipe.name}", recipe.comment.summary, *recipe.comment.notes]
    if equations:
        lines.append("```\n" + "\n\n".join(equations) + "\n```")
    points = [
        *((f"**Paper**: {paper}",) if paper else ()),
        *differences,
        *(f"**{slot}**: {words}" for slot, words in _parts(recipe)),
        *((f"**Preset**: `{' '.join(map(str, preset))}`",) if (preset := recipe.values.get(PRESET)) else ()),
        f"**Recipe**: {_link(recipe.path)}",
    ]
    lines.append("\n".join(f"- {point}" for point in points))
    return "\n\n".join(lines)


def _parts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield the slot of each part of a method, with the part's name, its summary and its file."""
    for slot, part in parts_of(recipe):
        cls = type(part)
        name = cls.__module__.rpartition(".")[2] if cls.__module__.startswith("fedkd.") else cls.__qualname__
        yield slot, f"`{name}`, {summary_of(cls)} {_link(Path(file_of(cls.__module__)))}"


def _link(path: Path) -> str:
    """Return a link from docs/ to a file of the repository, or the path of one's own."""
    if path.is_absolute():
        if not path.is_relative_to(recipes_dir()):
            return f"`{path}`"
        path = Path("configs") / path.relative_to(recipes_dir())
    return f"[{path.as_posix()}](../{path.as_posix()})"


def _fusing(table: Table) -> str:
    rows = []
    for row in table.rows:
        needs: Iterable[Need] = WEIGHTINGS.create(row, key="weighting").needs - {"clients"}
        cells = [table.refused[row, column] for column in table.columns]
        marks = ["no" if cell else "yes" for cell in cells]
        rows.append([f"`{row}`", ", ".join(sorted(needs)) or "-", *marks, in_short(cells) or "-"])
    headings = ("weighting", "needs", *table.columns, "why not")
    return f"### {table.title}\n\n" + "\n".join(_rows(headings, rows))


def _tasks(recipes: list[Recipe]) -> Iterator[list[str]]:
    for slot, parts, tasks in working(recipes):
        where = "every task" if len(tasks) == len(TASKS) else ", ".join(tasks)
        yield [slot, ", ".join(f"`{part}`" for part in parts), where]


def _refusals(recipes: list[Recipe]) -> Iterator[list[str]]:
    for strategy, reason in fusing_nothing(recipes).items():
        yield [f"`{strategy}`", in_short([reason])]


def _coding(table: Table) -> str:
    rows = []
    for row in table.rows:
        cells = [table.refused[row, column] for column in table.columns]
        rows.append([row, *("no" if cell else "yes" for cell in cells), in_short(cells) or "-"])
    return "\n".join(_rows(("of", *table.columns, "why not"), rows))


def _rows(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    headings = list(headings)
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
