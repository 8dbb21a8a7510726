"""The wheel holds what an installed fedkd needs: the package, its type marker and the recipes, and nothing of the tests."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_brings_its_recipes_and_runs_without_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    recipes = {f"fedkd/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert recipes <= names
    assert "fedkd/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "simulations/"))]
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import fedkd; from fedkd.cli.main import main; "
        f"assert fedkd.__file__.startswith({str(tmp_path)!r}), fedkd.__file__; raise SystemExit(main(['run', '--check', 'method=feddf']))"
    )
    checked = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stderr
    assert "name: ensemble_distillation" in checked.stdout
