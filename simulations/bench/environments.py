"""Environments of peers' own, below the user's cache: `<cache>/fedkd/bench/PEER`. Made when they are first needed.

torch comes first and by its exact version, so that the CPU build is taken where there is one; then the peer without its
dependencies, then the few that the peer needs for this work.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir

TORCH = "torch==2.13.0"


class NotInstalled(Exception):
    """A peer's environment cannot be made; the message has pip's last words."""


@dataclass(frozen=True)
class Environment:
    """What a peer needs.

    Args:
        package: the peer itself, with its version, installed without its dependencies.
        needs: what it needs of them.
    """

    package: str
    needs: tuple[str, ...]


ENVIRONMENTS = {
    "pfl": Environment(
        "pfl==0.6.0",
        (
            "numpy<3",
            "scipy",
            "multiprocess<0.71",
            "dp-accounting<0.6",
            "prv-accountant<0.3",
            "packaging<26",
            "wheel<0.46",
        ),
    ),
    "fedlab": Environment(
        "fedlab==1.3.0", ("numpy", "munch", "pillow", "pynvml", "tqdm", "pandas", "scikit-learn")
    ),
    "flgo": Environment(
        "flgo==0.4.4",
        (
            *("numpy", "tqdm", "scipy", "matplotlib", "prettytable", "ujson", "pynvml", "pyyaml", "networkx"),
            *("requests", "toolz", "pillow"),
        ),
    ),
    "fluke": Environment(
        "fluke-fl==0.8.1",
        (
            *("numpy", "pandas", "scikit-learn", "torchmetrics", "rich", "typer", "psutil", "diskcache"),
            *("cerberus", "omegaconf", "pyyaml", "requests", "hydra-core", "matplotlib", "seaborn"),
        ),
    ),
}


def python_of(name: str | None) -> Path:
    """Return the interpreter of an environment, and make the environment if it is not there; none is this one.

    Raises:
        NotInstalled: pip could not.
    """
    if name is None:
        return Path(sys.executable)
    folder = Path(user_cache_dir("fedkd")) / "bench" / name
    python, ready = folder / "bin" / "python", folder / "ready"
    wanted = ENVIRONMENTS[name]
    told = "\n".join([TORCH, wanted.package, *wanted.needs])
    if ready.is_file() and ready.read_text(encoding="utf-8") == told:
        return python
    print(f"making the environment of {wanted.package} in {folder}", flush=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, TORCH])
    _run([*pip, "--no-deps", wanted.package])
    _run([*pip, TORCH, *wanted.needs])
    ready.write_text(told, encoding="utf-8")
    return python


def version_in(name: str, package: str) -> str:
    """Return the version of a package in an environment, `missing` without it."""
    command = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run(  # noqa: S603  (the interpreter is one that was made here)
        [str(python_of(name)), "-c", command], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "missing"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (no shell, fixed words)
    if done.returncode:
        raise NotInstalled(" ".join(done.stderr.split())[-300:])
