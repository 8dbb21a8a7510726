"""A method that combines parts in a new way is one recipe, and nothing else."""

from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import recipes

RECIPE = """\
# Not-true distillation on the clients, distillation of their ensemble on the server.
name: fedntd_df
strategy: {name: ensemble_distillation}
client: {name: fedntd, beta: 0.5, fit: {epochs: 3, optimizer: {name: adam, lr: 0.005}}}
knowledge: {name: weights}
fusion: {name: mean_logits}
distiller: {fit: {epochs: 3, optimizer: {name: adam, lr: 0.005}}}
"""
SMALL = ("data.samples=600", "clients=3", "rounds=2", "model.hidden=[32]", "partition=iid", "runtime=inline")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a folder of recipes with one file in it."""
    (tmp_path / "own" / "method").mkdir(parents=True)
    (tmp_path / "own" / "method" / "fedntd_df.yaml").write_text(RECIPE)
    return tmp_path / "own"


def test_a_new_method_is_one_file_that_touches_no_other(own: Path, tmp_path: Path) -> None:
    assert [path.name for path in own.rglob("*") if path.is_file()] == ["fedntd_df.yaml"]
    assert set(recipes("method", own)) - set(recipes("method", None)) == {"fedntd_df"}
    result = fedkd.run("method=fedntd_df", *SMALL, output=tmp_path / "run", config_dir=own)
    assert result.final["student/test/accuracy"] > 0.5
    assert result.summary["failures"] == 0
