"""How long a user waits for the first update: `fedkd run` on digits, from the start of the process."""

import math
import subprocess
import sys
import tempfile
import time

from simulations.bench.processes import environment
from simulations.bench.settings import Settings
from simulations.bench.tables import Report, spread

TITLE = "Time to the first update: `fedkd run data=digits`"
RUNTIMES = {"inline": ["runtime=inline"], "Ray, 2 actors": ["runtime=ray", "runtime.num_actors=2"]}


def run(settings: Settings) -> list[Report]:
    """Start the command line anew for each runtime, in turn."""
    runtimes = {"inline": RUNTIMES["inline"]} if settings.quick else RUNTIMES
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runtimes}
    for _ in range(max(settings.repeats, 1)):
        for name, overrides in runtimes.items():
            measured[name].append(_time(overrides))
    rows = [
        [name, spread(first for first, _ in runs), spread(whole for _, whole in runs)]
        for name, runs in measured.items()
    ]
    columns = ["runtime", "first round done after, s", "command over after 2 rounds, s"]
    note = "The default method and data of `fedkd run`, 10 clients; the first round ends with the student's first update and its evaluation."
    return [Report(TITLE, columns, rows, [note], measured)]


def _time(overrides: list[str]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="fedkd-bench-") as folder:
        command = [
            sys.executable,
            "-m",
            "fedkd.cli",
            "run",
            "data=digits",
            *overrides,
            "rounds=2",
            f"output={folder}/run",
        ]
        begun = time.perf_counter()
        first = float("nan")
        with subprocess.Popen(  # noqa: S603  (our own command line)
            command, env=environment() | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "round 1/2" in " ".join(line.split()) and math.isnan(first):
                    first = time.perf_counter() - begun
        return first, time.perf_counter() - begun
