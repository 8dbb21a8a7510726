"""What one contestant is told and what it answers: the contract of every file in `peers/`.

A peer's module holds `CONTESTANTS`, and a function that does the work in a process of its own:

>>> def play(job: Job) -> Played:
...     clock = Clock()
...     for turn in range(job.rounds):
...         ...
...         clock.round_done()
...     return Played(weights, clock.seconds)
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from simulations.bench.material import Material

FEDAVG, DSFL = "fedavg", "dsfl"

TOLERANCE = 1e-3
"""Largest distance of the weights from the reference's, relative to how far a round has moved them.

A round moves weights by little of their norm, so a tolerance relative to the weights themselves would hardly see batches that
were taken in another order; a test holds that this one does.
"""


@dataclass(frozen=True)
class Contestant:
    """Someone who does the work of a workload.

    Args:
        name: as tables show it.
        peer: the module in `peers/` that plays it.
        options: what the module is told beyond the material.
        methods: which kinds of work it does.
        processes: processes that train clients at the same time.
        slow: whether one round after the first must do.
        environment: name of the peer's own environment (`environments.py`); none is fedkd's.
        launcher: arguments of Python in front of the module, for peers that start their processes themselves.
        tolerance: how far its weights may be from the reference's; wider only for another precision.
    """

    name: str
    peer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    methods: frozenset[str] = frozenset({FEDAVG})
    processes: int = 1
    slow: bool = False
    environment: str | None = None
    launcher: tuple[str, ...] = ("-m",)
    tolerance: float = TOLERANCE

    @property
    def quick(self) -> bool:
        """Whether it takes part in the quick run: everything but this process and its like takes long to start."""
        return self.processes == 1 and not self.slow and self.environment is None


@dataclass(frozen=True)
class Job:
    """The work: material, how many rounds of it, and the contestant's options.

    Args:
        folder: the contestant's own scratch.
        timed: whether seconds count; else weights do.
    """

    material: Material
    rounds: int
    options: Mapping[str, Any]
    folder: Path
    timed: bool = False

    @classmethod
    def read(cls, folder: Path) -> "Job":
        """Read the job that `write` left in a folder."""
        told = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        return cls(
            Material.open(Path(told["material"])), told["rounds"], told["options"], folder, told["timed"]
        )

    def write(self) -> None:
        """Leave the job in its folder."""
        told = {
            "material": str(self.material.folder),
            "rounds": self.rounds,
            "options": dict(self.options),
            "timed": self.timed,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "job.json").write_text(json.dumps(told), encoding="utf-8")


@dataclass(frozen=True)
class Played:
    """What came of a job: the server's weights in one row after the last round, and the seconds of each round."""

    weights: Tensor
    seconds: list[float]

    def write(self, folder: Path) -> None:
        """Leave it in the job's folder."""
        np.save(folder / "weights.npy", self.weights.detach().numpy())
        (folder / "seconds.json").write_text(json.dumps(self.seconds), encoding="utf-8")


class Clock:
    """Times rounds: from its making, or the end of the round before, to `round_done`."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.restart()

    def restart(self) -> None:
        """Begin the round here, after what came before it."""
        self._begun = time.perf_counter()

    def round_done(self) -> None:
        """Take the time of a round."""
        now = time.perf_counter()
        self.seconds.append(now - self._begun)
        self._begun = now
