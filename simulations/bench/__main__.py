"""The command of the room.

python -m simulations.bench list
python -m simulations.bench run                     # everything
python -m simulations.bench run mlp_fedavg lenet    # some workloads
python -m simulations.bench run --quick             # everything small, in less than a minute
python -m simulations.bench profile logistic        # where a worker's time goes
"""

import importlib
import json
import logging
import pkgutil
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from simulations.bench import workloads
from simulations.bench.contest import contestants
from simulations.bench.machine import described, machine
from simulations.bench.picture import draw
from simulations.bench.processes import Broken
from simulations.bench.profiling import profiled
from simulations.bench.settings import Settings
from simulations.bench.tables import Report

RESULTS = Path(__file__).parents[1] / "results"
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Benchmarks of fedkd and its peers.",
)


def found() -> dict[str, ModuleType]:
    """Return the modules of all workloads by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(workloads.__path__))
    return {name: importlib.import_module(f"simulations.bench.workloads.{name}") for name in names}


@app.command("list")
def show() -> None:
    """Name the workloads and the contestants."""
    for name, module in found().items():
        print(f"{name:20} {module.TITLE}")
    print()
    for contestant in contestants():
        where = f"environment {contestant.environment}" if contestant.environment else ""
        print(f"{contestant.name:32} {'/'.join(sorted(contestant.methods)):12} {where}")


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Workloads; none is all of them.")] = None,
    repeats: Annotated[int, typer.Option(help="How often everyone is timed.", min=1)] = 5,
    only: Annotated[
        list[str] | None, typer.Option(help="Words in the names of contestants; none is all.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Everything small, once; writes nothing.")] = False,
) -> None:
    """Run workloads and write `simulations/results/bench.md`, `bench.json` and `bench.png`; what is not run again stays."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, _leave)
    known = found()
    if unknown := [name for name in names or () if name not in known]:
        raise typer.BadParameter(f"no workload {', '.join(unknown)}; there are {', '.join(known)}")
    settings = Settings(0 if quick else repeats, quick, tuple(only or ()))
    kept, broken = _kept(), []
    for name in names or known:
        begun = time.perf_counter()
        facts = machine()
        print(f"{name}: {known[name].TITLE}", flush=True)
        try:
            reports = known[name].run(settings)
        except Broken as error:
            broken.append(name)
            print(f"{name} is broken: {error}", flush=True)
            continue
        for report in reports:
            print(report.markdown(), flush=True)
        print(f"{name} took {time.perf_counter() - begun:.0f} s\n", flush=True)
        if not quick:
            kept[name] = {
                "machine": facts,
                "repeats": settings.repeats,
                "reports": [vars(report) for report in reports],
            }
            _write(kept)
    if broken:
        sys.exit(1)


@app.command("profile")
def show_profile(
    name: Annotated[str, typer.Argument(help="A workload that trains clients.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="More of the config, such as engine.precision=bfloat16.")
    ] = None,
    clients: Annotated[
        int, typer.Option(help="How many clients train, of those of the workload.", min=1)
    ] = 25,
) -> None:
    """Say which operators of PyTorch take the time of a worker that trains clients of a workload."""
    known = {workload: module for workload, module in found().items() if hasattr(module, "config")}
    if name not in known:
        raise typer.BadParameter(f"no workload {name}; there are {', '.join(known)}")
    for operator in profiled([*known[name].config(Settings()), *(overrides or ())], clients=clients)[:12]:
        print(f"{operator.share:6.1%}  {operator.calls:7,} calls  {operator.name}")


def _leave(*_: object) -> None:
    """End in order, so that contestants end too."""
    print("ended by SIGTERM", flush=True)
    sys.exit(143)


def _kept() -> dict[str, Any]:
    path = RESULTS / "bench.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(kept: dict[str, Any]) -> None:
    """Write all results that there are, each with the machine that it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps(kept, indent=1, default=str) + "\n", encoding="utf-8")
    lines = [
        "# Benchmarks",
        "",
        "How to read them: `simulations/bench/README.md`. Made by `python -m simulations.bench run`.",
        "",
    ]
    reports = []
    for name in sorted(kept):
        own = [Report(**report) for report in kept[name]["reports"]]
        reports += own
        lines += [report.markdown() for report in own]
        lines += [f"`{name}`, {kept[name]['repeats']} repeats. {described(kept[name]['machine'])}", ""]
    (RESULTS / "bench.md").write_text("\n".join(lines), encoding="utf-8")
    draw(reports, RESULTS / "bench.png")


if __name__ == "__main__":
    app()
