"""Verdicts of `fedkd calibrate`: which way of training was faster on this machine, by all that was timed.

>>> one = Question("MLP(hidden=(64, 64))", network, (1, 8, 8), 32, "cpu", "Supervised", 10)
>>> remember(one, Vectorised(), vectorised=True)
>>> verdict(one, Vectorised()), verdict(one, Vectorised(precision="bfloat16"))
(True, None)
"""

import json
import os
import platform
from pathlib import Path

import platformdirs
import torch

from fedkd.engine.engines.base import Question
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.foundation.durable import write_atomically
from fedkd.foundation.errors import RunFolderError


def verdicts_path() -> Path:
    """Return where the verdicts of this machine are stored."""
    return Path(os.environ.get("FEDKD_CACHE") or platformdirs.user_cache_dir("fedkd")) / "calibration.json"


def verdict(question: Question, at_once: Vectorised) -> bool | None:
    """Return whether training at once, with these options, was measured to be faster; None where nothing was, or no difference."""
    return _verdicts().get(_key(question, at_once))


def remember(question: Question, at_once: Vectorised, *, vectorised: bool | None) -> None:
    """Store a verdict for later runs on this machine; None, no difference, removes one that stood there."""
    path = verdicts_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    verdicts = _verdicts()
    if vectorised is None:
        verdicts.pop(_key(question, at_once), None)
    else:
        verdicts[_key(question, at_once)] = vectorised
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


def _key(question: Question, at_once: Vectorised) -> str:
    """Return all that a measurement depends on, in words; another processor or PyTorch makes it void."""
    name = torch.cuda.get_device_name() if question.device != "cpu" else _processor()
    return (
        f"{question.clients} clients of {question.strategy}, {question.architecture} on {list(question.shape)}, "
        f"batches of {question.batch_size}, {at_once}, {name}, torch {torch.__version__}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
