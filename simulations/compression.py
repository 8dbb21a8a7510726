"""Compression: a student with a small part of the parameters comes close to its teacher, closer than the same network on labels alone.

Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (2015). Digits, one teacher, students of four sizes on the samples of
the teacher; seeds paired. The control is the same student under the same training, with the whole weight on the labels. Nothing is
chosen: options are the recipe's. Latency is that of a forward pass for 256 samples on one thread, as a share of the teacher's: medians of
passes in turns.
"""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from fedkd.data.datasets.digits import Digits
from fedkd.models import MODELS
from fedkd.models._costs import Costs, costs_of, seconds_apiece
from fedkd.models.base import Signature
from simulations.study import Interval, Study, seeds_from_command_line

TEACHER = (384, 384)
STUDENTS = ((6,), (10,), (16,), (32,))
COMMON = ["method=compression", "data=digits", "runtime=inline", "threads=1"]
REPORT, TEACHING = "student/test/accuracy", "clients_mean/test/accuracy"
SIGNATURE = Signature.of(Digits)


def main() -> None:
    """Run the study, print its table and draw the frontier."""
    study = Study("compression", seeds_from_command_line(__doc__))
    arms = {name(hidden): [f"student.hidden={list(hidden)}"] for hidden in STUDENTS}
    taught = study.run(arms, common=COMMON)
    alone = study.run(
        {f"{arm} on labels": own for arm, own in arms.items()},
        common=[*COMMON, "method.distiller.label_weight=1"],
    )
    costs, latencies = costs_of_all([*STUDENTS, TEACHER])
    teacher = Interval.of(list(taught[taught["arm"] == name(STUDENTS[0])][TEACHING]))
    rows, curves, gains = [], {"taught": [], "on labels": []}, {}
    for hidden, cost, latency in zip(STUDENTS, costs, latencies, strict=False):
        best = taught[taught["arm"] == name(hidden)].set_index("seed").sort_index()
        control = alone[alone["arm"] == f"{name(hidden)} on labels"].set_index("seed").sort_index()[REPORT]
        curves["taught"].append(Interval.of(list(best[REPORT])))
        curves["on labels"].append(Interval.of(list(control)))
        gain = gains[name(hidden)] = Interval.of(list(best[REPORT] - control))
        rows.append(
            [
                name(hidden),
                f"{cost.parameters:,} (1/{costs[-1].parameters / cost.parameters:.0f})",
                f"{cost.flops:,} (1/{costs[-1].flops / cost.flops:.0f})",
                f"{latency / latencies[-1]:.2f}",
                curves["on labels"][-1].percent(),
                curves["taught"][-1].percent(),
                gain.points(),
                Interval.of(list(best[REPORT] - best[TEACHING])).points(),
            ]
        )
    rows.append(
        [
            f"teacher {name(TEACHER)}",
            f"{costs[-1].parameters:,}",
            f"{costs[-1].flops:,}",
            "1",
            "",
            teacher.percent(),
            "",
            "",
        ]
    )
    study.picture(picture([cost.parameters for cost in costs], curves, teacher))
    better = [student for student, gain in gains.items() if gain.low > 0]
    worse = [student for student, gain in gains.items() if gain.high < 0]
    study.show(
        f"Compression on digits, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        [
            "hidden units",
            "parameters",
            "FLOPs a sample",
            "latency, teacher = 1",
            "on labels",
            "taught",
            "gain, points",
            "to the teacher, points",
        ],
        rows,
        f"Taught students that are better than those on labels alone, for certain: {', '.join(better) or 'none'}; worse: {', '.join(worse) or 'none'}. "
        "Latencies were measured while the table was made: they are ratios, and no record of a run holds them.",
    )


def name(hidden: Sequence[int]) -> str:
    """Return hidden layers in words."""
    return " x ".join(map(str, hidden))


def costs_of_all(sizes: Sequence[Sequence[int]]) -> tuple[list[Costs], list[float]]:
    """Return what networks of these sizes cost, and the seconds that each takes."""
    torch.set_num_threads(1)
    networks = [
        MODELS.create({"name": "mlp", "hidden": [*hidden]}, key="model").build(SIGNATURE) for hidden in sizes
    ]
    return [costs_of(network, SIGNATURE) for network in networks], seconds_apiece(
        networks, SIGNATURE.blank(256), repeats=100
    )


def picture(parameters: Sequence[int], curves: dict[str, list[Interval]], teacher: Interval) -> Figure:
    """Draw accuracy over parameters: students taught and not, and the teacher."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, color in (("taught", "C0"), ("on labels", "C1")):
        means = [100 * one.mean for one in curves[label]]
        spread = [
            [100 * (one.mean - one.low) for one in curves[label]],
            [100 * (one.high - one.mean) for one in curves[label]],
        ]
        axes.errorbar(
            parameters[: len(means)],
            means,
            yerr=spread,
            fmt="o-",
            capsize=3,
            color=color,
            label=f"student {label}",
        )
    axes.errorbar(
        [parameters[-1]], [100 * teacher.mean], yerr=[[100 * (teacher.mean - teacher.low)], [100 * (teacher.high - teacher.mean)]],
        fmt="s", capsize=3, color="black", label="teacher",
    )  # fmt: skip
    axes.axhline(100 * teacher.mean, color="grey", linewidth=1, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel("parameters")
    axes.set_ylabel("test accuracy, %")
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
