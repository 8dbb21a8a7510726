from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
import pytest

pytestmark = pytest.mark.xdist_group("notebook")
ANALYSIS = Path(__file__).parents[2] / "analysis"


@pytest.mark.parametrize(
    ("name", "pictures"), [("compression", 1), ("expansion", 1), ("adaptation", 2), ("enhancement", 2)]
)
def test_each_objective_has_a_notebook_that_runs_from_nothing_draws_and_shows_a_table(
    name: str, pictures: int, execute: Callable[[nbformat.NotebookNode], None]
) -> None:
    notebook = jupytext.read(ANALYSIS / f"{name}.py")
    execute(notebook)
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in data for data in shown) == pictures
    assert any("text/html" in data or "dtype: float64" in data.get("text/plain", "") for data in shown)
