import re
import sys
from pathlib import Path

import pytest

import fedkd
import fedkd.clients
from fedkd.testing import check

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"
PLACES = {"fedkd/clients/fedfocal.py": "python", "configs/method/fedfocal.yaml": "yaml"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Do what the guide says, in a folder that stands beside the package's own."""
    guide = GUIDE.read_text()
    for place, language in PLACES.items():
        assert f"`{place}`" in guide
        (text,) = re.findall(rf"```{language}\n(.*?)```", guide, flags=re.DOTALL)
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(text)
    monkeypatch.setattr(
        fedkd.clients, "__path__", [*fedkd.clients.__path__, str(tmp_path / "fedkd" / "clients")]
    )
    monkeypatch.delitem(sys.modules, "fedkd.clients.fedfocal", raising=False)
    return tmp_path


def test_the_method_of_the_guide_runs_with_one_file_and_one_recipe(written: Path) -> None:
    small = ["clients=3", "model.hidden=[32]", "partition=iid", "runtime=inline", "data.samples=600"]
    options = {"rounds": 2, "config_dir": written / "configs"}
    result = fedkd.run("method=fedfocal", *small, output=written / "run", **options)
    assert result.final["student/test/accuracy"] > 0.6


@pytest.mark.usefixtures("written")
def test_the_part_of_the_guide_keeps_the_contract() -> None:
    assert [one for one in check("fedkd.clients.fedfocal:FedFocal") if not one.passed] == []
