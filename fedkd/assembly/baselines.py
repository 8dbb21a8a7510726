"""Baselines beside a method: the same data, clients, model and seed, the same budget, another way of learning.

The budget is what the method spends: the same rounds, clients and local passes; on the proxy set, the same passes of the
distiller. Each baseline is a run of its own, cached by everything that it depends on.
"""

import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import platformdirs
from torch import Tensor

from fedkd.assembly.build import load, server_side, task_of
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.settings import Baseline
from fedkd.foundation.durable import write_atomically
from fedkd.foundation.parts import dump
from fedkd.foundation.run_folder import MetricRow, RunFolder, metric
from fedkd.foundation.seeding import Streams
from fedkd.foundation.threads import threads
from fedkd.models.base import predict, run_network
from fedkd.training import fit

Final = dict[str, float | None]
RunOne = Callable[[Experiment], Any]


def add_baselines(
    folder: RunFolder, experiment: Experiment, *, run_one: RunOne, say: Callable[[str], None]
) -> None:
    """Run (or recall) each baseline of an experiment; enter its last metrics into the run's records and summary.

    Args:
        folder: the run, complete.
        experiment: what was run.
        run_one: runs an experiment and returns a result with `final`.
        say: told what happens.
    """
    summary = folder.read_json("summary.json")
    rows: list[MetricRow] = []
    for name in experiment.baselines:
        final = _final(name, experiment, run_one, say)
        if final is None:
            say(
                f"baseline {name} does not apply: method={experiment.method.name} has no proxy set that its student could learn"
            )
            continue
        for key, value in final.items():
            split, measured = key.split("/")
            rows.append(
                metric(round=int(summary["rounds"]), scope=name, split=split, metric=measured, value=value)
            )
            summary["final"][f"{name}/{key}"] = value
    folder.append_metrics(rows)
    folder.write_json("summary.json", summary)


def _final(
    name: Baseline, experiment: Experiment, run_one: RunOne, say: Callable[[str], None]
) -> Final | None:
    """Return the last metrics of a baseline by `<split>/<metric>`; None where it makes no sense."""
    method = experiment.method
    if name == "proxy_labels":
        if method.distiller is None or not experiment.labels_on_proxy or not method.strategy.has_student:
            return None
        return _cached(name, _key(experiment.resolved), lambda: _proxy_labels(experiment), say)
    if name == "pseudo_labels":
        if method.distiller is None:
            return None
        changed = _changed(
            experiment,
            method={**experiment.resolved["method"], "distiller": {**dump(method.distiller), "hard": True}},
        )
        scope = "student" if method.strategy.has_student else "clients_mean"
    else:
        changed, scope = _other_method(name, experiment)

    def compute() -> Final:
        work = _cache() / "work"
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=work) as folder:
            elsewhere = Experiment.from_config({**changed.resolved, "output": str(Path(folder) / name)})
            final = run_one(elsewhere).final
        return {
            key.removeprefix(f"{scope}/"): value
            for key, value in final.items()
            if key.startswith(f"{scope}/")
        }

    return _cached(name, _key(changed.resolved), compute, say)


def _other_method(name: Baseline, experiment: Experiment) -> tuple[Experiment, str]:
    """Return the experiment of local training, averaging or pooled training with the method's own local passes."""
    recipe = {"local_only": "local", "fedavg": "fedavg", "pooled": "pooled"}[name]
    method = compose([f"method={recipe}"])["method"]
    method["client"] = {**method["client"], "fit": dump(experiment.method.client.fit)}
    changes: dict[str, Any] = {"method": method}
    if name != "local_only" and len(experiment.model.architectures()) > 1:
        # One architecture for all: the reported student's.
        student = experiment.resolved["student"]
        first = next(iter(experiment.model.architectures()))
        defined = experiment.resolved["model"].get("models", {})
        changes["model"] = defined.get(first, {"name": first}) if student["name"] == "same" else student
    if name != "local_only":
        changes["student"] = {"name": "same"}
    settings = experiment.settings
    if name == "pooled" and settings.clients_per_round is not None:
        # All data each round: fewer rounds, so that as many samples are seen as by the clients that take part.
        changes["rounds"] = max(1, round(settings.rounds * settings.clients_per_round / settings.clients))
    return _changed(experiment, **changes), "clients_mean" if name == "local_only" else "student"


def _changed(experiment: Experiment, **changes: Any) -> Experiment:
    """Return the experiment with other parts, without baselines of its own, only its last round evaluated."""
    config = {**experiment.resolved, "baselines": "none", "output": None, **changes}
    config["evaluate_every"] = config["rounds"]
    if experiment.resolved["runtime"]["name"] == "flower":
        config["runtime"], config["client_timeout"] = {"name": "inline"}, None
    return Experiment.from_config(config)


def _key(config: Mapping[str, Any]) -> str:
    """Return a hash over all that a result depends on: not where it is written, who computes it, or what stands beside it."""
    apart = {"output", "runtime", "baselines", "client_timeout", "evaluate_every"}
    versions = {name: importlib.metadata.version(name) for name in ("fedkd", "flwr", "numpy", "torch")}
    document = {**versions, **{key: value for key, value in config.items() if key not in apart}}
    text = json.dumps(document, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("FEDKD_CACHE") or platformdirs.user_cache_dir("fedkd")) / "baselines"


def _cached(name: Baseline, key: str, compute: Callable[[], Final], say: Callable[[str], None]) -> Final:
    path = _cache() / f"{name}-{key}.json"
    if path.exists():
        say(f"baseline {name}: known from before")
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    say(f"baseline {name} ...")
    final = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(final, indent=1).encode())
    return final


def _proxy_labels(experiment: Experiment) -> Final:
    """Train the student on the true labels of the proxy set, with as many passes as the distiller makes in all rounds."""
    data = load(experiment)
    _, student = server_side(experiment, data)
    task, proxy, distiller = task_of(data), data.proxy, experiment.method.distiller
    assert student is not None
    assert proxy is not None
    assert distiller is not None

    def loss(rows: Tensor) -> Tensor:
        outputs = run_network(student, {view: x[rows] for view, x in proxy.inputs.items()}).logits
        return task.supervised(outputs, proxy.targets[rows]).mean()

    splits = {"validation": data.validation, "test": data.test}
    with threads(experiment.threads):
        for current in range(1, experiment.settings.rounds + 1):
            generator = Streams(experiment.settings.seed).torch("proxy labels", round=current)
            fit(student, loss, size=len(proxy), plan=distiller.fit, generator=generator)
        return {
            f"{split}/{name}": value
            for split, samples in splits.items()
            for name, value in task.metrics(predict(student, samples.inputs), samples.targets).items()
        }
