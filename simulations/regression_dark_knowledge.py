"""Dark knowledge of numbers: what a student learns from teachers when the output is a number, by noise of the labels and error of the teachers.

Prices of diamonds. Three teachers and a smaller student see the same 500 diamonds, whose prices are true, noisy (normal noise as wide as the prices
themselves) or hold gross errors (a tenth is five deviations off). All teachers are right about what they saw, or one of three was taught shuffled
prices, or prices that are one deviation too high. A number has no second-best answer; what a teacher can know beside the label is the mean of
many noisy ones, and how far its number may be off. Each way of learning is compared with the same student that learns the labels alone, seeds paired.
Test prices are true ones. Options are those of the papers or, for sums of two losses, equal shares; none was tuned, so nothing is chosen on validation data.

Teachers and students are made of the parts that a config names (`data.label_noise`, `data.outliers`, `partition.noise`, `partition.wrong`,
`method.fusion`, `method.distiller.terms`), but teachers are trained once for all ways of learning.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fedkd.aggregation.fusions.base import Fusion
from fedkd.assembly.build import task_of
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.data.federated import FederatedData, federate
from fedkd.distillation import Distiller
from fedkd.engine.client import initial_network
from fedkd.foundation.durable import write_atomically
from fedkd.foundation.seeding import Streams
from fedkd.models.base import predict, run_network
from fedkd.training import fit
from simulations.study import Interval, Sheet, Study, seeds_from_command_line

COMMON = [
    "method=aver", "data=diamonds", "data.samples=500", "data.test_samples=2000", "clients=3", "model=mlp", "model.hidden=[64,64]",
    "partition=shared", "proxy=train", "student=mlp", "student.hidden=[16]", "method.client.fit.epochs=20", "method.distiller.fit.epochs=30",
    "method.distiller.temperature=1", "method.distiller.label_weight=0",
]  # fmt: skip
NOISE = {
    "true prices": [],
    "noise as wide as prices": ["data.label_noise=1.0"],
    "a tenth far off": ["data.outliers=0.1"],
}
ERROR = {
    "all right": [],
    "one of three shuffled": ["partition.noise=[0,0,1]", "partition.wrong=shuffled"],
    "one of three too high": ["partition.noise=[0,0,1]", "partition.wrong=shifted"],
}
NUMBER, GAUSSIAN = ["method.fusion=mean_logits"], ["data.predicts=gaussian"]
LABELS, TEACHERS = "{name: supervised, labels: proxy, weight: 0.5}", "{name: divergence, weight: 0.5}"
WAYS = {
    "labels": [*NUMBER, f"method.distiller.terms=[{LABELS}]"],
    "teachers": [*NUMBER, f"method.distiller.terms=[{TEACHERS}]"],
    "labels and teachers": [*NUMBER, f"method.distiller.terms=[{LABELS},{TEACHERS}]"],
    "bounded": [*NUMBER, "method.distiller.terms=[bounded_regression]"],
    "attentive": [*NUMBER, "method.distiller.terms=[attentive_imitation]"],
    "rejecting": [*NUMBER, "method.distiller.terms=[outlier_rejection]"],
    "rejecting and teachers": [*NUMBER, f"method.distiller.terms=[{{name: outlier_rejection, weight: 0.5}},{TEACHERS}]"],
    "(mu, s2) labels": [*GAUSSIAN, "method.fusion=mixture", f"method.distiller.terms=[{LABELS}]"],
    "(mu, s2) mixture": [*GAUSSIAN, "method.fusion=mixture", "method.distiller.terms=[divergence]"],
    "(mu, s2) precision": [*GAUSSIAN, "method.fusion=precision", "method.distiller.terms=[divergence]"],
    "(mu, s2) product": [*GAUSSIAN, "method.fusion=product", "method.distiller.terms=[divergence]"],
}  # fmt: skip
ALONE, ALONE_SURE = "labels", "(mu, s2) labels"
FUSED = ("teachers", "(mu, s2) mixture", "(mu, s2) precision", "(mu, s2) product")
"""Ways in each of which the teachers say something else together, which is measured too."""


class Cell(NamedTuple):
    """A kind of labels, a kind of teachers, a root seed."""

    noise: str
    error: str
    seed: int


@functools.cache
def experiment(*overrides: str) -> Experiment:
    """Return what a config says."""
    return Experiment.from_config(compose([*COMMON, *overrides]))


class Classroom:
    """Labels of one kind and seed with all teachers that learn from them, each trained once."""

    def __init__(self, noise: str, seed: int) -> None:
        self.noise, self.seed, self._streams = noise, seed, Streams(seed)
        self._networks: dict[tuple[bool, int, str], nn.Module] = {}
        self._learned: dict[str, dict[str, float]] = {}

    def learned(self, way: str, error: str) -> dict[str, float]:
        """Return the test metrics of a student that learned in a way; without teachers it is the same whatever these say."""
        if way in {ALONE, ALONE_SURE} and way in self._learned:
            return self._learned[way]
        chosen = experiment(*NOISE[self.noise], *ERROR[error], *WAYS[way])
        data = self._data(chosen)
        assert data.proxy is not None
        assert chosen.method.fusion is not None
        assert chosen.method.distiller is not None
        fused = self.fused(chosen.method.fusion, data, chosen, error)
        learned = self._student(chosen.method.distiller, fused(data.proxy.inputs), data, chosen)
        if way in FUSED:
            said = task_of(data).metrics(fused(data.test.inputs), data.test.targets)
            learned |= {f"fused {name}": value for name, value in said.items()}
        self._learned[way] = learned
        return learned

    def fused(
        self, fusion: Fusion, data: FederatedData, chosen: Experiment, error: str
    ) -> "functools.partial[Tensor]":
        """Return what makes of samples what all teachers together say."""
        gaussian = data.info.num_outputs == 2
        teachers = [self._teacher(client, data, chosen, gaussian, error) for client in range(3)]
        return functools.partial(_together, fusion, teachers)

    def _data(self, chosen: Experiment) -> FederatedData:
        return federate(chosen.data, chosen.partition, chosen.proxy, 3, self._streams)

    def _teacher(
        self, client: int, data: FederatedData, chosen: Experiment, gaussian: bool, error: str
    ) -> nn.Module:
        taught = (
            error if client == 2 else "all right"
        )  # the others see the same, whatever the third is taught
        if (key := (gaussian, client, taught)) not in self._networks:
            model = next(iter(chosen.model.architectures().values()))
            network = initial_network(model, data, self._streams, client=client)
            own, task = data.client_train(client), task_of(data)

            def loss(rows: Tensor) -> Tensor:
                batch = own.take(rows)
                return task.supervised(run_network(network, batch.inputs).logits, batch.targets).mean()

            plan = chosen.method.client.fit  # type: ignore[attr-defined]
            drawn = self._streams.torch("train", round=1, client=client)
            fit(network, loss, size=len(own), plan=plan, generator=drawn)
            self._networks[key] = network
        return self._networks[key]

    def _student(
        self, distiller: Distiller, said: Tensor, data: FederatedData, chosen: Experiment
    ) -> dict[str, float]:
        assert chosen.student is not None
        assert data.proxy is not None
        student, task = initial_network(chosen.student, data, self._streams, owner="server"), task_of(data)
        drawn = self._streams.torch("distil", round=1)
        distiller.distil(
            student, data.proxy.inputs, said, task=task, generator=drawn, targets=data.proxy.targets
        )
        return task.metrics(predict(student, data.test.inputs), data.test.targets)


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("regression_dark_knowledge", seeds_from_command_line(__doc__))
    found = _all(study)
    rows, sure = [], []
    gains: dict[tuple[str, str, str], Interval] = {}
    for noise in NOISE:
        for error in ERROR:

            def of(way: str, metric: str, noise: str = noise, error: str = error) -> list[float]:
                return [found[Cell(noise, error, seed)][way][metric] for seed in study.seeds]

            alone = of(ALONE, "r2")
            cells = [f"{100 * np.mean(of('teachers', 'fused r2')):.1f}", Interval.of(alone).percent()]
            for way in list(WAYS)[1:]:
                gain = Interval.of(list(np.subtract(of(way, "r2"), alone)))
                gains[noise, error, way] = gain
                cells.append(
                    ("**" if gain.excludes_zero else "")
                    + gain.points()
                    + ("**" if gain.excludes_zero else "")
                )
            rows.append([noise, error, *cells])
            sure += [
                [
                    noise, error, way,
                    *(f"{np.mean(of(way, metric)):.2f}" for metric in ("nll", "coverage_90", "miscalibration")),
                    *(f"{np.mean(of(way, f'fused {metric}')):.2f}" if way in FUSED else "" for metric in ("nll", "coverage_90")),
                ]
                for way in WAYS
                if "s2" in way
            ]  # fmt: skip
    study.picture(_picture(gains))
    study.show(
        f"Students of diamonds' prices, {len(study.seeds)} paired seeds: test R^2 in % of the teachers' mean and of a student that learns labels alone "
        "[95 % interval], and the difference to that student in points; bold where the interval leaves out 0",
        ["labels", "which teachers", "teachers' mean", "student: labels alone", *list(WAYS)[1:]],
        rows,
        _verdict(gains),
        further=[
            Sheet(
                "Students that say how sure they are: negative log-likelihood of a test price (nats, logarithm of dollars), share within the central 90 % "
                "interval, miscalibration; and of the fused teachers. Test prices are true ones, labels need not be",
                ["labels", "which teachers", "student", "NLL", "coverage of 90 %", "miscalibration", "teachers' NLL", "teachers' coverage"],
                sure,
            )
        ],
    )  # fmt: skip


def _all(study: Study) -> dict[Cell, dict[str, dict[str, float]]]:
    """Return the metrics of every way of learning in every cell; what is there is read, so that a stopped study goes on."""
    found = {}
    for seed in study.seeds:
        for noise in NOISE:
            place = study.folder / f"{list(NOISE).index(noise)}-{seed}.json"
            if not place.exists():
                study.folder.mkdir(parents=True, exist_ok=True)
                room = Classroom(noise, seed)
                learned = {error: {way: room.learned(way, error) for way in WAYS} for error in ERROR}
                write_atomically(place, json.dumps(learned).encode())
                study.console.print(f"{noise}, seed {seed}", style="dim")
            for error, ways in json.loads(Path(place).read_text()).items():
                found[Cell(noise, error, seed)] = ways
    return found


def _together(fusion: Fusion, teachers: list[nn.Module], inputs: Mapping[str, Tensor]) -> Tensor:
    said = torch.stack([predict(teacher, inputs) for teacher in teachers])
    return fusion.fuse(said, torch.full(said.shape[:2], 1.0 / len(said)))


def _verdict(gains: Mapping[tuple[str, str, str], Interval]) -> str:
    said = []
    for noise in NOISE:
        for error in ERROR:
            better = [way for way in list(WAYS)[1:] if gains[noise, error, way].low > 0]
            worse = [way for way in list(WAYS)[1:] if gains[noise, error, way].high < 0]
            said.append(
                f"- {noise}, {error}: better than labels alone: {', '.join(better) or 'none'}; worse: {', '.join(worse) or 'none'}."
            )
    return "\n".join(said)


def _picture(gains: Mapping[tuple[str, str, str], Interval]) -> Figure:
    figure = Figure(figsize=(13, 8), layout="constrained")
    grid = figure.subplots(len(NOISE), len(ERROR), sharey=True, sharex="row")
    ways = list(WAYS)[1:]
    for row, noise in zip(grid, NOISE, strict=True):
        for axes, error in zip(row, ERROR, strict=True):
            axes.axvline(0.0, color="grey", linewidth=1)
            for place, way in enumerate(ways):
                gain = gains[noise, error, way]
                ends = [[100 * (gain.mean - gain.low)], [100 * (gain.high - gain.mean)]]
                colour = "C1" if "s2" in way else "C0"
                axes.errorbar([100 * gain.mean], [place], xerr=ends, fmt="o", capsize=3, color=colour)
            axes.set_yticks(range(len(ways)), ways)
            axes.set_title(f"labels: {noise}\nteachers: {error}", fontsize=9)
            axes.grid(visible=True, axis="x", alpha=0.3)
    grid[0][0].invert_yaxis()
    figure.supxlabel("test R^2 minus that of a student that learns labels alone, points")
    return figure


if __name__ == "__main__":
    main()
