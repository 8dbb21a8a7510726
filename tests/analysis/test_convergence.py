from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.xdist_group("notebook")
NOTEBOOK = Path(__file__).parents[2] / "analysis" / "convergence.py"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    notebook = jupytext.read(NOTEBOOK)
    place = tmp_path_factory.mktemp("notebook")
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(place)}}
    ).execute()
    return notebook


def test_the_notebook_runs_from_nothing_and_draws_all_its_pictures(executed: nbformat.NotebookNode) -> None:
    drawn = {
        cell.source.rsplit("\n", maxsplit=1)[-1].partition("(")[0]
        for cell in executed.cells
        if cell.cell_type == "code" and any("image/png" in output.get("data", {}) for output in cell.outputs)
    }
    assert drawn == {
        "partition_picture",
        "accuracy_by_round",
        "accuracy_by_bytes",
        "clients_spread",
        "decomposition",
        "seeds_band",
    }


def test_the_notebook_survives_the_way_to_ipynb_and_back(executed: nbformat.NotebookNode) -> None:
    there = nbformat.reads(jupytext.writes(executed, fmt="ipynb"), as_version=4)
    back = jupytext.writes(there, fmt="py:percent")
    assert "# # Convergence of federated distillation" in back
    assert back.rstrip().endswith('seeds_band(frame, by="method")')
