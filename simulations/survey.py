"""The page that says for every item of the survey what does it here: recipe or part, file, test, study, result.

The items stand in `docs/survey.yaml`. Every name, file, test and row of a result that it gives is looked for, and the page is made
of what was found; `python -m simulations.survey` writes it to `docs/survey.md`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from fedkd import losses

ROOT = Path(__file__).parents[1]
SOURCE, PAGE, RESULTS = ROOT / "docs/survey.yaml", ROOT / "docs/survey.md", ROOT / "simulations/results"

FOLDERS: Mapping[str, str] = {
    "method": "configs/method/{}.yaml",
    "data": "fedkd/data/datasets/{}.py",
    "partition": "fedkd/data/partitions/{}.py",
    "model": "fedkd/models/{}.py",
    "task": "fedkd/tasks/{}.py",
    "term": "fedkd/objectives/terms/{}.py",
    "fusion": "fedkd/aggregation/fusions/{}.py",
    "weighting": "fedkd/aggregation/weightings/{}.py",
    "codec": "fedkd/knowledge/codecs/{}.py",
    "client": "fedkd/clients/{}.py",
    "strategy": "fedkd/strategies/{}.py",
    "study": "simulations/{}.py",
}
"""Where a part of each family lies; a `loss` is a function or a module of `fedkd.losses`."""

_CELLS = re.compile(r"(?<!\\)\|")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(_Strict):
    """An item of the survey, and what does it here; or why nothing does."""

    item: str
    by: Annotated[tuple[str, ...], Field(description="FAMILY/NAME, the chief one first")] = ()
    test: str | None = None
    study: str | None = None
    row: str | None = None
    column: str | None = None
    absent: str | None = None
    note: str | None = None


class Section(_Strict):
    """Items under a title."""

    title: str
    items: tuple[Item, ...]


class Survey(_Strict):
    """The whole survey; `columns` says which column of a study's table is the result."""

    columns: dict[str, str]
    sections: tuple[Section, ...]

    @classmethod
    def read(cls, path: Path = SOURCE) -> "Survey":
        """Return what the file says."""
        return cls.model_validate(yaml.safe_load(path.read_text("utf-8")))


def file_of(part: str) -> Path:
    """Return the file of FAMILY/NAME.

    Raises:
        LookupError: there is none.
    """
    family, _, name = part.partition("/")
    if family == "loss":
        found = getattr(losses, name, None)
        if found is None:
            raise LookupError(f"{part}: fedkd.losses has no {name}")
        return Path(f"{found.__module__.replace('.', '/')}.py")
    if family not in FOLDERS:
        raise LookupError(f"{part}: families are loss, {', '.join(FOLDERS)}")
    path = Path(FOLDERS[family].format(name))
    if not (ROOT / path).is_file():
        raise LookupError(f"{part}: there is no {path}")
    return path


def result(study: str, row: str, column: str) -> str:
    """Return a cell of a study's table: of the first row in which a cell is, or begins with, `row`.

    Raises:
        LookupError: there is no such study, row or column, or two columns have that name.
    """
    path = RESULTS / f"{study}.md"
    if not path.is_file():
        raise LookupError(f"there is no {path.relative_to(ROOT)}")
    head: Sequence[str] = ()
    begins: str | None = None
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            head = ()
            continue
        cells = [cell.strip() for cell in _CELLS.split(line)[1:-1]]
        if not head:
            head = cells
        elif column in head:
            if list(head).count(column) > 1:
                raise LookupError(f"{path.name} has several columns {column!r}; give each a name of its own")
            said = cells[list(head).index(column)]
            if row in cells:
                return said
            if begins is None and any(cell.startswith(row) for cell in cells):
                begins = said
    if begins is None:
        raise LookupError(f"{path.name} has no row {row!r} with a column {column!r}")
    return begins


def page(survey: Survey) -> str:
    """Return the page.

    Raises:
        LookupError: something that the survey names is not there.
    """
    lines = [
        "# The survey, item by item",
        "",
        "What C. Hu et al., *Teacher-Student Architecture for Knowledge Distillation: A Survey* (arXiv 2308.04268, 2023) covers, and what does it here. Made of",
        "[survey.yaml](survey.yaml) by `python -m simulations.survey`, which looks for each file, test and result; a test compares. Results are differences to",
        "the study's control with their 95 % intervals over paired seeds; the study says what was compared, and at what size.",
    ]
    for section in survey.sections:
        lines += [
            "",
            f"## {section.title}",
            "",
            "| item | by | file | test | study | result |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(item, survey.columns) for item in section.items]
    return "\n".join(lines) + "\n"


def _row(item: Item, columns: Mapping[str, str]) -> str:
    if item.absent is not None:
        return f"| {item.item} | not here: {item.absent} |  |  |  |  |"
    files = [file_of(part) for part in item.by]
    if not files or item.test is None:
        raise LookupError(f"{item.item}: needs `by` and `test`, or `absent`")
    if not (ROOT / item.test).is_file():
        raise LookupError(f"{item.item}: there is no {item.test}")
    cells = [
        item.item,
        ", ".join(f"`{part.replace('/', '=', 1)}`" for part in item.by),
        f"[{files[0]}](../{files[0]})",
        f"[{Path(item.test).name}](../{item.test})",
        *_studied(item, columns),
    ]
    return f"| {' | '.join(cells)} |"


def _studied(item: Item, columns: Mapping[str, str]) -> tuple[str, str]:
    note = item.note or ""
    if item.study is None:
        return "", note
    column = item.column or columns.get(item.study)
    if column is None:
        raise LookupError(f"{item.item}: no column is said for {item.study}")
    row = item.row or item.by[0].partition("/")[2]
    said = result(item.study, row, column)
    name = f"[{item.study}](../simulations/results/{item.study}.md)"
    return name, f"{column}: {said}" + (f"; {note}" if note else "")


if __name__ == "__main__":
    PAGE.write_text(page(Survey.read()), "utf-8")
