"""The server side of a run in its folder: from config to summary, in whatever process Flower puts it."""

import contextlib
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from fedkd.assembly.build import load, server_side, task_of
from fedkd.assembly.experiment import Experiment
from fedkd.data.federated import FederatedData
from fedkd.foundation.run_folder import LEDGER, METRICS, TIMINGS, MetricRow, RunFolder
from fedkd.foundation.watching import Silent, Watcher
from fedkd.runtime.evaluation import Evaluation, final_values
from fedkd.runtime.runner import Plan, Runner


def serve(folder: RunFolder, grid: Grid, watcher: Watcher | None = None) -> None:
    """Run the experiment of a folder on a grid, from its last checkpoint, and write its summary."""
    watcher = watcher or Silent()
    experiment = Experiment.from_config(folder.config())
    data = load(experiment)
    folder.write_json("partition.json", dict(data.manifest))
    strategy, student = server_side(experiment, data)
    task = task_of(data)
    answer = task.answer(data.info)
    evaluation = Evaluation(task, {"validation": data.validation, "test": data.test}, answer)
    plan = Plan(
        rounds=experiment.settings.rounds,
        clients_per_round=min(
            experiment.settings.clients_per_round or len(data.assignments), len(data.assignments)
        ),
        evaluate_every=experiment.settings.evaluate_every,
        threads=experiment.threads,
        client_timeout=experiment.settings.client_timeout,
        proxy_bytes=_proxy_bytes(data) if experiment.method.needs_proxy else 0,
    )
    with _quiet_flower():
        Runner(strategy, student, evaluation, plan, folder, watcher).run(grid)
    summarise(folder)


def summarise(folder: RunFolder) -> dict[str, Any]:
    """Write and return `summary.json` from what the folder records.

    `final` is the map from `<scope>/<split>/<metric>` to a number; `bytes_*` are serialised messages of the method itself,
    `payload_*` the knowledge in them by its codec's formula; evaluation messages are not counted. `seconds` were spent in rounds,
    over all sittings of a run that was resumed.
    """
    rounds, failures = 0, 0.0
    last: list[MetricRow] = []
    for row in _rows(folder.path / METRICS):
        if row["round"] > rounds:
            rounds, last = row["round"], []
        last.append(row)
        failures += row["value"] if row["metric"] == "failures" else 0.0
    sizes: Counter[str] = Counter()
    for row in _rows(folder.path / LEDGER):
        place = "once" if row["phase"] == "once" else f"{row['phase']}_{row['direction']}"
        sizes.update({f"bytes_{place}": row["bytes"], f"payload_{place}": row["payload"]})
    summary = {
        "final": final_values(last),
        "bytes_up": sizes["bytes_train_up"],
        "bytes_down": sizes["bytes_train_down"],
        "payload_up": sizes["payload_train_up"],
        "payload_down": sizes["payload_train_down"],
        "bytes_once": sizes["bytes_once"],
        "rounds": rounds,
        "failures": int(failures),
        "seconds": math.fsum(row["seconds"] for row in _rows(folder.path / TIMINGS)),
    }
    folder.write_json("summary.json", summary)
    return summary


def _rows(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@contextlib.contextmanager
def _quiet_flower() -> Iterator[None]:
    """Keep Flower's own line about every aggregation out of the display; what goes wrong is still said."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _proxy_bytes(data: FederatedData) -> int:
    """Return the size of the proxy inputs (and labels, if methods may use them), as float32 and int64 arrays."""
    if data.proxy is None:
        return 0
    arrays: Iterable[Any] = [
        *data.proxy.inputs.values(),
        data.proxy.ids,
        *([data.proxy.targets] if data.proxy_labelled else []),
    ]
    return sum(array.element_size() * array.nelement() for array in arrays)
