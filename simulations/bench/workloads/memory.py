"""Memory of the whole process tree when there are more clients, with 100 of them a round, with and without state."""

import sys
import tempfile
from pathlib import Path

from simulations.bench.processes import Broken
from simulations.bench.processes import run as run_process
from simulations.bench.settings import Settings, lent, plan
from simulations.bench.tables import Report, spread

TITLE = "Memory of the process tree, 100 to 100,000 clients, 100 a round"
WEIGHTS = 4810
"""Weights of MLP 64-64-10, 4 bytes each: what a client with state keeps."""

COMMAND = "import sys, fedkd; fedkd.run(*sys.argv[1:])"


def work(clients: int, rounds: int, *, state: bool) -> list[str]:
    """Return a config of clients that keep a network each, or nothing."""
    method = "local" if state else "fedavg"
    own = [f"method={method}", "proxy=none", f"method.client.fit={plan(1)}"]
    return own + lent(clients, min(clients, 100), rounds)


def run(settings: Settings) -> list[Report]:
    """Weigh the tree of each run while it lasts."""
    sizes, rounds = ((100,), 2) if settings.quick else ((100, 1000, 10_000, 100_000), 20)
    peaks: dict[tuple[bool, int], list[int]] = {}
    failures: dict[tuple[bool, int], str] = {}
    for _ in range(max(1, min(settings.repeats, 3))):
        for state in (False, True):
            for clients in sizes:
                with tempfile.TemporaryDirectory(prefix="fedkd-bench-") as folder:
                    overrides = [*work(clients, rounds, state=state), f"output={folder}/run"]
                    try:
                        ended = run_process(
                            [sys.executable, "-c", COMMAND, *overrides], Path(folder), weigh=True
                        )
                    except Broken as error:
                        failures[state, clients] = str(error)
                        continue
                peaks.setdefault((state, clients), []).append(ended.peak)
    rows = []
    for state, clients in ((state, clients) for state in (False, True) for clients in sizes):
        weights = [peak / 2**20 for peak in peaks.get((state, clients), [])]
        base = [peak / 2**20 for peak in peaks.get((state, sizes[0]), [])]
        grown = [one - other for one, other in zip(weights, base, strict=False)]
        rows.append(
            [
                "yes" if state else "no",
                f"{clients:,}",
                failures.get((state, clients), "")[:120] or spread(weights, 0),
                spread(grown, 0),
                f"{_kept(clients, rounds) * 4 * WEIGHTS / 2**20:.1f}" if state else "0",
            ]
        )
    columns = [
        "client state",
        "clients",
        "largest, MiB",
        f"more than with {sizes[0]}, MiB",
        "state that exists at the most, MiB",
    ]
    note = (
        f"Proportional set size of the driver, Ray and 2 actors, weighed every 0.2 s over {rounds} rounds. The data is the same for any "
        "number of clients; state is a model of 19 kB for every client that ever took part, at the most 100 new ones a round."
    )
    numbers = [
        {"state": state, "clients": clients, "peak_bytes": values}
        for (state, clients), values in peaks.items()
    ]
    return [Report(TITLE, columns, rows, [note], numbers)]


def _kept(clients: int, rounds: int) -> int:
    return min(clients, 100 * rounds)
