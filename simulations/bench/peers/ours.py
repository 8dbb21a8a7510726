"""fedkd itself, by `fedkd.run`: a contestant is a list of config overrides, so that an engine or a runtime is one line here.

What it times is what a user waits for: from one round's end to the next, with ledger, records and checkpoint. The last
round is run beyond those that are timed, because fedkd evaluates after it.
"""

import itertools
import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import fedkd
from fedkd.foundation.run_folder import RunFolder
from fedkd.foundation.watching import Silent
from fedkd.runtime.flower_internals import deserialise
from simulations.bench.job import DSFL, FEDAVG, Contestant, Job, Played

BOTH = frozenset({FEDAVG, DSFL})
RAY = ["runtime=ray", "runtime.num_actors=2"]
# An option of the engine is one more entry here, with one more word in its overrides; a lower precision also sets `tolerance`.
CONTESTANTS = [
    Contestant("fedkd, inline", "ours", {"overrides": ["runtime=inline"]}, BOTH),
    Contestant("fedkd, Ray, 2 actors", "ours", {"overrides": RAY}, BOTH, processes=2),
    Contestant(
        "fedkd, Ray, compiled", "ours", {"overrides": [*RAY, "engine.compile=true"]}, BOTH, processes=2
    ),
    Contestant(
        "fedkd, Ray, sequential", "ours", {"overrides": [*RAY, "engine=sequential"]}, BOTH, processes=2
    ),
    Contestant(
        "Flower's engine, fedkd's app",
        "ours",
        {"overrides": ["runtime=flower", "runtime.num_actors=2"]},
        frozenset({DSFL}),
        processes=2,
        slow=True,
    ),
]

BFLOAT16 = Contestant(
    "fedkd, Ray, bfloat16",
    "ours",
    {"overrides": [*RAY, "engine.precision=bfloat16"]},
    processes=2,
    tolerance=0.2,
)
"""Another precision, so other weights: it takes part where convolutions are, and its accuracy is for a study to compare."""


class _Ends(Silent):
    """Takes the time at which each round ends; without Flower's process in between it is told at once."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def phase(self, round: int, name: str, total: int | None) -> None:  # noqa: A002
        """Begin to count with the first training."""
        del total
        if name == "train" and round == 1:
            self.moments.append(time.perf_counter())

    def round_done(self, round: int, values: Mapping[str, float], bytes_up: int, bytes_down: int) -> None:  # noqa: A002
        """Take the time."""
        del round, values, bytes_up, bytes_down
        self.moments.append(time.perf_counter())


def play(job: Job) -> Played:
    """Run the rounds; where they are timed, and one more, because fedkd evaluates after its last."""
    ends = _Ends()
    rounds = job.rounds + job.timed
    result = fedkd.run(
        *job.material.plan["overrides"],
        *job.options["overrides"],
        f"rounds={rounds}",
        f"evaluate_every={rounds}",
        f"output={job.folder / 'run'}",
        watcher=ends,
    )
    seconds = [after - before for before, after in itertools.pairwise(ends.moments)]
    return Played(_weights(result.folder), (seconds or _recorded(result.folder))[: job.rounds])


def _recorded(folder: Path) -> list[float]:
    """Return each round's seconds of training and aggregation as the run folder has them, for runs in other processes."""
    seconds: dict[int, float] = {}
    for line in (folder / "timings.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["phase"] != "evaluate":
            seconds[row["round"]] = seconds.get(row["round"], 0.0) + row["seconds"]
    return [seconds[turn] for turn in sorted(seconds) if turn]


def _weights(folder: Path) -> Tensor:
    """Return the server's weights after the last round: after one more than was asked for, where the run was timed."""
    checkpoint = RunFolder.open(folder).load_checkpoint()
    assert checkpoint is not None
    arrays = deserialise(checkpoint.blobs["arrays"]).array_records["arrays"].to_torch_state_dict()
    return torch.cat([array.flatten() for array in arrays.values()])
