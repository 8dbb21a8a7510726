"""Very many clients that each keep a network: 100,000 of them, 1,000 a round, 20 rounds of DS-FL, from start to end."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from fedkd.foundation.run_folder import RunFolder
from simulations.bench.processes import Broken
from simulations.bench.processes import run as run_process
from simulations.bench.settings import Settings, lent, plan
from simulations.bench.tables import Report, spread

TITLE = "100,000 clients with state, 1,000 a round, 20 rounds of DS-FL"
COMMAND = "import sys, fedkd; fedkd.run(*sys.argv[1:])"


def work(clients: int, cohort: int, rounds: int) -> list[str]:
    """Return a config in which every client keeps its own MLP 64-64-10."""
    return [
        "method=dsfl",
        f"method.client.digest={plan(1)}",
        f"method.client.fit={plan(1)}",
        f"method.distiller.fit={plan(1)}",
        "proxy=heldout",
        "proxy.size=200",
        *lent(clients, cohort, rounds),
    ]


def run(settings: Settings) -> list[Report]:
    """Weigh the process tree of whole runs while they last."""
    clients, cohort, rounds = (200, 20, 2) if settings.quick else (100_000, 1000, 20)
    rows, numbers = [], []
    for number in (cohort, clients):
        found = [_measured(number, cohort, rounds) for _ in range(max(1, min(settings.repeats, 3)))]
        numbers.append({"clients": number, "runs": found})
        rows.append(
            [
                f"{number:,}",
                *(spread((one[key] for one in found), digits) for key, digits in COLUMNS.values()),
            ]
        )
    columns = ["clients", *COLUMNS]
    note = (
        f"{cohort:,} clients a round, {rounds} rounds, evaluated once at the end; driver, Ray and 2 actors, weighed every 0.2 s as "
        "proportional set size. State is a model of 19 kB for every client that ever took part. The first row has as many clients as take part."
    )
    return [Report(TITLE, columns, rows, [note], numbers)]


COLUMNS = {
    "whole process, s": ("seconds", 0),
    "later rounds, s": ("round", 2),
    "largest memory, MiB": ("peak", 0),
    "clients with state": ("kept", 0),
    "their state, MiB": ("state", 0),
    "run folder, MiB": ("folder", 0),
    "failures": ("failures", 0),
}
"""Columns, with what they show of a run and to how many digits."""


def _measured(clients: int, cohort: int, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="fedkd-bench-") as room:
        overrides = [*work(clients, cohort, rounds), f"output={room}/run"]
        ended = run_process([sys.executable, "-c", COMMAND, *overrides], Path(room), weigh=True)
        folder = RunFolder.open(Path(room, "run"))
        checkpoint = folder.load_checkpoint()
        if checkpoint is None or checkpoint.round != rounds:
            raise Broken("ended without its last round")
        timings = [json.loads(line) for line in Path(room, "run", "timings.jsonl").read_text().splitlines()]
        by_round = [
            sum(row["seconds"] for row in timings if row["round"] == turn and row["phase"] != "evaluate")
            for turn in range(1, rounds + 1)
        ]
        return {
            "seconds": ended.seconds,
            "round": float(np.median(by_round[1:])),
            "peak": ended.peak / 2**20,
            "kept": len(checkpoint.clients),
            "state": sum(map(len, checkpoint.clients.values())) / 2**20,
            "folder": sum(path.stat().st_size for path in Path(room, "run").rglob("*") if path.is_file())
            / 2**20,
            "failures": folder.read_json("summary.json")["failures"],
        }
