import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fedkd.reporting.frames import load_runs

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
SMALL = ["rounds=2", "clients=3", "model.hidden=[16]", "data.samples=300", "proxy.size=60", "runtime=inline"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package from a copy of its source and install it into a folder of its own; nothing is fetched."""
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin")
    target = tmp_path_factory.mktemp("site")
    install = [
        "pip",
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--disable-pip-version-check",
    ]
    told = run_python("-m", *install, "--target", str(target), str(source))
    assert told.returncode == 0, told.stderr
    return target


def run_python(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def fedkd(*arguments: str, path: Path | None) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "fedkd.cli", *arguments, path=path)


def test_its_recipe_runs_by_name(installed: Path, tmp_path: Path) -> None:
    own = ["--config-dir", str(PLUGIN / "configs")]
    told = fedkd("run", *own, "method=robust", *SMALL, f"output={tmp_path / 'run'}", path=installed)
    assert told.returncode == 0, told.stderr
    method = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["method"]
    assert (method["client"]["name"], method["client"]["beta"]) == ("confidence_penalty", 0.1)
    assert method["fusion"] == {"name": "median_probabilities"}
    student = load_runs(tmp_path / "run").query(
        "scope == 'student' and split == 'test' and metric == 'accuracy'"
    )
    assert student.value.iloc[-1] > 0.4


def test_module_and_class_do_as_well_as_the_names(installed: Path, tmp_path: Path) -> None:
    by_name = ["method.client.name=confidence_penalty", "method.fusion=median_probabilities"]
    by_class = [
        "method.client.name=fedkd_robust.confidence_penalty:ConfidencePenalty",
        "method.fusion=fedkd_robust.median_probabilities:MedianProbabilities",
    ]
    for folder, parts in {"name": by_name, "class": by_class}.items():
        told = fedkd("run", "method=dsfl", *parts, *SMALL, f"output={tmp_path / folder}", path=installed)
        assert told.returncode == 0, told.stderr
    same = [(tmp_path / folder / "metrics.jsonl").read_bytes() for folder in ("name", "class")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    "name", ["confidence_penalty", "fedkd_robust.median_probabilities:MedianProbabilities"]
)
def test_its_parts_keep_the_contract(installed: Path, name: str) -> None:
    told = fedkd("check", name, path=installed)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "FAILED" not in told.stdout


def test_its_parts_are_listed_beside_the_built_in_ones(installed: Path) -> None:
    told = fedkd("list", "fusions", path=installed)
    assert told.returncode == 0, told.stderr
    assert "median_probabilities" in told.stdout
    assert "mean_logits" in told.stdout


def test_its_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    tests = shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    told = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), path=installed)
    assert told.returncode == 0, told.stdout


def test_without_the_package_its_names_are_unknown() -> None:
    told = fedkd("run", "--check", "method=dsfl", "method.fusion=median_probabilities", path=None)
    assert told.returncode == 2
    assert told.stderr.startswith("fedkd: method.fusion.name: got 'median_probabilities'")
