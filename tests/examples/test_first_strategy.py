import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedkd.testing import check

SCRIPT = Path(__file__).parents[2] / "examples" / "first_strategy.py"


def test_a_strategy_of_a_few_lines_runs_and_is_compared_with_the_built_in_one(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "clients=3", "rounds=2", "model.hidden=[32]"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert told.returncode == 0, told.stderr
    accuracy = {line.split()[0]: float(line.split()[1]) for line in told.stdout.splitlines()}
    assert accuracy.keys() == {"codistillation", "first_strategy:Smooth"}
    assert min(accuracy.values()) > 0.5
    assert accuracy["codistillation"] != accuracy["first_strategy:Smooth"]


def test_the_strategy_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    assert [check for check in check("first_strategy:Smooth") if not check.passed] == []
