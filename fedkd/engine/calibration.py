"""Verdicts of `fedkd calibrate`: which way of training was faster on this machine, by architecture, input, batch and device.

>>> remember("MLP(hidden=(64, 64))", (1, 8, 8), 32, "cpu", vectorised=True)
>>> verdict("MLP(hidden=(64, 64))", (1, 8, 8), 32, "cpu")
True
"""

import json
import os
import platform
from pathlib import Path

import platformdirs
import torch

from fedkd.foundation.durable import write_atomically
from fedkd.foundation.errors import RunFolderError


def verdicts_path() -> Path:
    """Return where the verdicts of this machine are stored."""
    return Path(os.environ.get("FEDKD_CACHE") or platformdirs.user_cache_dir("fedkd")) / "calibration.json"


def verdict(architecture: str, shape: tuple[int, ...], batch_size: int, device: str) -> bool | None:
    """Return whether vectorised training was measured to be faster, or None where nothing was measured."""
    return _verdicts().get(_key(architecture, shape, batch_size, device))


def remember(
    architecture: str, shape: tuple[int, ...], batch_size: int, device: str, *, vectorised: bool
) -> None:
    """Store a verdict for later runs on this machine."""
    path = verdicts_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    verdicts = {**_verdicts(), _key(architecture, shape, batch_size, device): vectorised}
    write_atomically(path, json.dumps(verdicts, indent=1, sort_keys=True).encode())


def _verdicts() -> dict[str, bool]:
    path = verdicts_path()
    try:
        return {str(key): bool(value) for key, value in json.loads(path.read_bytes()).items()}
    except OSError:  # nothing was measured, or there is no cache that could be read: the rule holds
        return {}
    except (ValueError, AttributeError) as error:
        raise RunFolderError(
            f"{path}: cannot be read ({error}); remove it, or run fedkd calibrate"
        ) from error


def _key(architecture: str, shape: tuple[int, ...], batch_size: int, device: str) -> str:
    """Return all that a measurement depends on, in words; another processor or PyTorch makes it void."""
    name = torch.cuda.get_device_name() if device != "cpu" else _processor()
    return f"{architecture} on {list(shape)}, batches of {batch_size}, {name}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
