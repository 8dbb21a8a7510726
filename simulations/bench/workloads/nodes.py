"""Clients that do nothing, 100 a round, of ever more nodes: whether an engine looks at nodes that take no part."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from simulations.bench.processes import Broken
from simulations.bench.processes import run as run_process
from simulations.bench.settings import Settings
from simulations.bench.tables import Report, spread

TITLE = "No-op clients, 100 a round, of 100 to 100,000 nodes"
COHORT = 100
FULL = [
    *((engine, nodes) for nodes in (100, 1000, 10_000, 100_000) for engine in ("inline", "ray")),
    ("flower", 100),
    ("flower", 1000),
]
QUICK = [("inline", 100), ("inline", 1000)]
NAMES = {
    "inline": "fedkd.simulate, inline",
    "ray": "fedkd.simulate, Ray, 2 actors",
    "flower": "Flower's engine, 2 actors",
}


def run(settings: Settings) -> list[Report]:
    """Run the same unmodified Flower app under each engine, in turn."""
    cases = QUICK if settings.quick else FULL
    measured: dict[tuple[str, int], list[list[float]]] = {case: [] for case in cases}
    wholes: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    failures: dict[tuple[str, int], str] = {}
    for _ in range(max(settings.repeats, 1)):
        for case in cases:
            rounds = 4 if case[0] == "flower" else settings.pick(12, 3)
            with tempfile.TemporaryDirectory(prefix="fedkd-bench-") as folder:
                numbers = [str(number) for number in (case[1], COHORT, rounds)]
                command = [sys.executable, "-m", "simulations.bench.peers._noop", case[0], *numbers, folder]
                try:
                    ended = run_process(command, Path(folder))
                except Broken as error:
                    failures[case] = str(error)
                    continue
                measured[case].append(json.loads(Path(folder, "seconds.json").read_text(encoding="utf-8")))
                wholes[case].append(ended.seconds)
    rows = []
    for case, runs in measured.items():
        if case in failures:
            rows.append([NAMES[case[0]], f"{case[1]:,}", failures[case][:120], "", "", ""])
            continue
        later = [float(np.median(seconds[1:])) for seconds in runs]
        base = [float(np.median(seconds[1:])) for seconds in measured[case[0], 100]]
        rows.append(
            [
                NAMES[case[0]],
                f"{case[1]:,}",
                spread((1000 * seconds for seconds in later), 1),
                spread(one / other for one, other in zip(later, base, strict=False)),
                spread((seconds[0] for seconds in runs), 2),
                spread((whole / len(seconds) for whole, seconds in zip(wholes[case], runs, strict=True)), 2),
            ]
        )
    columns = [
        "engine",
        "nodes",
        "later rounds, ms",
        "as a multiple of 100 nodes",
        "first round, s",
        "a round, start and end included, s",
    ]
    note = "Start and end included: the whole life of the process over its number of rounds (12; Flower's engine 4)."
    numbers = [
        {"engine": case[0], "nodes": case[1], "seconds": runs, "whole": wholes[case]}
        for case, runs in measured.items()
    ]
    return [Report(TITLE, columns, rows, [note], numbers)]
