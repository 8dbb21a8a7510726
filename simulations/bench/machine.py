"""The machine that numbers were measured on, and the versions of everyone who took part."""

import importlib.metadata
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

from simulations.bench.environments import ENVIRONMENTS, NotInstalled, version_in

OWN = ("fedkd", "flwr", "ray", "torch", "numpy")


def machine() -> dict[str, Any]:
    """Return the description of this machine."""
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in OWN} | _peers(),
        "load": round(psutil.getloadavg()[0], 2),
    }


def described(facts: dict[str, Any]) -> str:
    """Return the description as a paragraph."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB of memory, "
        f"{facts['gpu'] or 'no GPU'}; {facts['system']}, Python {facts['python']}; {versions}. "
        f"Measured {facts['measured']}; the machine's load before that was {facts['load']}."
    )


def _processor() -> str:
    """Return the processor's model with its family, which tells virtual ones apart, and whether it has bfloat16."""
    lines = (
        Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if platform.system() == "Linux" else []
    )
    told = dict(reversed([tuple(map(str.strip, line.split(":", 1))) for line in lines if ":" in line]))
    if not told:
        return platform.processor() or platform.machine()
    flags = told.get("flags", "").split()
    kinds = [kind for kind in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if kind in flags]
    return f"{told['model name']} (family {told['cpu family']} model {told['model']}, {', '.join(kinds)})"


def _peers() -> dict[str, str]:
    found = {}
    for name, environment in ENVIRONMENTS.items():
        package = environment.package.partition("==")[0]
        try:
            found[package] = version_in(name, package)
        except NotInstalled:
            found[package] = "not installed"
    return found
