import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fedkd.reporting.frames import load_runs

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
SMALL = ["rounds=2", "clients=3", "partition=iid", "model.hidden=[32]", "data.samples=600", "runtime=inline"]


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


@pytest.fixture(scope="module")
def by_name(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the package's recipe, which names its parts as the built-in ones are named."""
    folder = tmp_path_factory.mktemp("runs") / "by_name"
    run_recipe(PLUGIN / "configs", folder, installed)
    return folder


def run_recipe(configs: Path, folder: Path, path: Path) -> None:
    own = ["--config-dir", str(configs), "method=robust"]
    told = fedkd("run", *own, *SMALL, f"output={folder}", path=path)
    assert told.returncode == 0, told.stderr


def test_its_recipe_runs_by_name(by_name: Path) -> None:
    method = yaml.safe_load((by_name / "config.yaml").read_text())["method"]
    assert (method["client"]["name"], method["client"]["beta"]) == ("confidence_penalty", 0.1)
    assert method["fusion"] == {"name": "median_probabilities"}
    student = load_runs(by_name).query("scope == 'student' and split == 'test' and metric == 'accuracy'")
    assert student.value.iloc[-1] > 0.5


def test_module_and_class_do_what_the_names_do(by_name: Path, installed: Path, tmp_path: Path) -> None:
    recipe = (PLUGIN / "configs" / "method" / "robust.yaml").read_text()
    for name, cls in {
        "confidence_penalty": "ConfidencePenalty",
        "median_probabilities": "MedianProbabilities",
    }.items():
        recipe = recipe.replace(f"name: {name}", f'name: "fedkd_robust.{name}:{cls}"')
    (tmp_path / "configs" / "method").mkdir(parents=True)
    (tmp_path / "configs" / "method" / "robust.yaml").write_text(recipe)
    run_recipe(tmp_path / "configs", tmp_path / "by_class", installed)
    same = [(folder / "metrics.jsonl").read_bytes() for folder in (by_name, tmp_path / "by_class")]
    assert same[0] == same[1]
    assert (
        "fedkd_robust.median_probabilities:MedianProbabilities"
        in (tmp_path / "by_class" / "config.yaml").read_text()
    )


def test_a_part_is_checked_by_its_name(installed: Path) -> None:
    told = fedkd("check", "confidence_penalty", path=installed)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "ok     the gradient reaches every parameter" in told.stdout


def test_its_parts_are_listed_beside_the_built_in_ones(installed: Path) -> None:
    told = fedkd("list", "fusions", path=installed)
    assert told.returncode == 0, told.stderr
    assert "median_probabilities" in told.stdout
    assert "mean_logits" in told.stdout


def test_its_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    tests = shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    told = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), path=installed)
    assert told.returncode == 0, told.stdout
