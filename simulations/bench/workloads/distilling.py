"""Distilling a student on a proxy set: fedkd's distiller against a plain loop, both with all threads of this machine."""

import json
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedkd.distillation import Distiller
from fedkd.foundation.seeding import Streams
from fedkd.models.lenet import LeNet
from fedkd.tasks import Classification
from fedkd.training import Fit, Optimizer
from simulations.bench.job import TOLERANCE
from simulations.bench.processes import run as run_process
from simulations.bench.settings import Settings
from simulations.bench.tables import Report, ratios, spread

TITLE = "Distilling a student: LeNet on 5,000 proxy samples"
BATCHES = (32, 128)
ALIKE = 512
"""Samples on which weights are compared: with more, Adam on random targets is chaotic, and the plain loop differs from itself by a fifth
when its inputs are changed in the seventh place."""


def run(settings: Settings) -> list[Report]:
    """Run both in one process of their own, in turn."""
    threads = psutil.cpu_count(logical=False) or 1
    size = settings.pick(5000, 256)
    with tempfile.TemporaryDirectory(prefix="fedkd-bench-") as folder:
        command = [sys.executable, "-m", __name__, str(size), str(max(settings.repeats, 1) + 1), folder]
        run_process(command, Path(folder), threads=threads)
        measured = json.loads(Path(folder, "distilled.json").read_text(encoding="utf-8"))
    rows = []
    for batch, found in measured.items():
        plain, own = found["plain"][1:], found["fedkd"][1:]
        rows.append(
            [
                batch,
                f"{found['difference']:.1e}",
                spread(plain, 3),
                spread(own, 3),
                spread(ratios(plain, own)),
            ]
        )
    columns = [
        "batch",
        "weights differ by",
        "plain loop, s",
        "fedkd's distiller, s",
        "fedkd is so many times as fast",
    ]
    title = f"{TITLE}" if size == 5000 else f"{TITLE} (here {size})"
    return [Report(f"{title}, {threads} threads, 2 passes, Adam", columns, rows, (), measured)]


def main() -> None:
    """Time both; the weights must agree first."""
    size, repeats, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(psutil.cpu_count(logical=False) or 1)
    streams = Streams(0)
    x = torch.rand(size, 1, 28, 28, generator=streams.torch("x"))
    teacher = 3 * torch.randn(size, 10, generator=streams.torch("teacher"))
    measured = {}
    for batch in BATCHES:
        seconds: dict[str, list[float]] = {"plain": [], "fedkd": []}
        difference = _compare(streams, x[:ALIKE], teacher[:ALIKE], batch)
        assert difference < TOLERANCE, f"other weights: {difference:.1e}"
        for _ in range(repeats):
            for name, distil in (("plain", _plain), ("fedkd", _own)):
                student = _student(streams)
                begun = time.perf_counter()
                distil(student, x, teacher, batch, streams.torch("distil"))
                seconds[name].append(time.perf_counter() - begun)
        measured[batch] = {**seconds, "difference": difference}
    (folder / "distilled.json").write_text(json.dumps(measured), encoding="utf-8")


def _student(streams: Streams) -> nn.Module:
    with streams.initialising("student"):
        return LeNet().network((1, 28, 28), 10)


def _compare(streams: Streams, x: Tensor, teacher: Tensor, batch: int) -> float:
    """Return how far the weights of both are apart, relative to their change."""
    rows = []
    for distil in (None, _plain, _own):
        student = _student(streams)
        if distil:
            distil(student, x, teacher, batch, streams.torch("distil"))
        rows.append(nn.utils.parameters_to_vector(student.parameters()).detach())
    start, plain, own = rows
    return float((own - plain).norm() / (plain - start).norm())


def _plain(student: nn.Module, x: Tensor, teacher: Tensor, batch: int, generator: torch.Generator) -> None:
    optimizer = torch.optim.Adam(student.parameters(), lr=0.001)
    targets = F.softmax(teacher, dim=-1)
    for _ in range(2):
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(student(x[rows]).logits, targets[rows]).backward()
            optimizer.step()


def _own(student: nn.Module, x: Tensor, teacher: Tensor, batch: int, generator: torch.Generator) -> None:
    fit = Fit(epochs=2, batch_size=batch, optimizer=Optimizer(name="adam", lr=0.001))
    Distiller(fit=fit).distil(student, {"image": x}, teacher, task=Classification(), generator=generator)


if __name__ == "__main__":
    main()
