"""The notebooks of the tasks run from nothing, print their tables and draw their pictures."""

from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
import pytest

pytestmark = pytest.mark.xdist_group("notebook")
ANALYSIS = Path(__file__).parents[2] / "analysis"


@pytest.mark.parametrize(
    ("name", "tables", "pictures"),
    [
        ("classification", 1, 2),
        ("generation", 1, 1),
        ("ranking", 2, 2),
        ("recognition", 2, 2),
        ("regression", 1, 2),
    ],
)
def test_the_notebook_of_a_task_shows_its_tables_and_pictures(
    name: str, tables: int, pictures: int, execute: Callable[[nbformat.NotebookNode], None]
) -> None:
    notebook = jupytext.read(ANALYSIS / f"{name}.py")
    execute(notebook)
    shown = [output.get("data", {}) for cell in notebook.cells for output in getattr(cell, "outputs", ())]
    assert sum("text/html" in one for one in shown) == tables
    assert sum("image/png" in one for one in shown) == pictures
    assert nbformat.validator.isvalid(notebook)
