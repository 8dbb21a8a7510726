"""fedkd: a simulator of federated and multi-teacher knowledge distillation on Flower, PyTorch and Ray.

>>> import fedkd
>>> result = fedkd.run("method=dsfl", "partition.alpha=0.1", rounds=3, runtime="inline")
>>> result.final["student/test/accuracy"]
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedkd import losses, strategies
    from fedkd.assembly.run import Result, resume, run
    from fedkd.clients import ClientStrategy
    from fedkd.reporting.frames import load_ledger, load_runs, load_summaries
    from fedkd.runtime.simulate import simulate

__version__ = "0.1.0"

# Heavy libraries are imported when something needs them: `import fedkd` takes milliseconds.
_LAZY = {
    "ClientStrategy": "fedkd.clients",
    "Result": "fedkd.assembly.run",
    "load_ledger": "fedkd.reporting.frames",
    "load_runs": "fedkd.reporting.frames",
    "load_summaries": "fedkd.reporting.frames",
    "resume": "fedkd.assembly.run",
    "run": "fedkd.assembly.run",
    "simulate": "fedkd.runtime.simulate",
}
_MODULES = ("losses", "strategies")

__all__ = [
    "ClientStrategy",
    "Result",
    "load_ledger",
    "load_runs",
    "load_summaries",
    "losses",
    "resume",
    "run",
    "simulate",
    "strategies",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fedkd.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fedkd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
