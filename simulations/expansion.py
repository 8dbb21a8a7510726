"""Expansion: a student as large as its teacher, or larger, that learns on noisy inputs gets better than its teacher, and better again as the next one's teacher.

Xie et al., "Self-training with Noisy Student improves ImageNet classification" (CVPR 2020). Digits, of which the teacher sees 15 % with
their labels; the students see all of them without. Three generations, seeds paired. The control has no noise. Noise is chosen
among two kinds, pixels that are changed and images that are moved, on validation data, at the last generation.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

import fedkd
from simulations.study import Interval, Study, choose, seeds_from_command_line

GENERATIONS = 3
NOISES = ("gaussian:0.3", "shifted:1")
SIZES = {"equal": "student.hidden=[64]", "larger": "student.hidden=[256,256]"}
COMMON = [
    "method=expansion", "data=digits", f"rounds={GENERATIONS}", "method.distiller.fit.epochs=25", "runtime=inline", "threads=1",
]  # fmt: skip
CHOICE, REPORT, TEACHING = (
    "student/validation/accuracy",
    "student/test/accuracy",
    "clients_mean/test/accuracy",
)


def main() -> None:
    """Run the study, print its table and draw the generations."""
    study = Study("expansion", seeds_from_command_line(__doc__))
    clean = study.run(
        {f"{size}, clean": [own, "method.distiller.noise={}"] for size, own in SIZES.items()}, common=COMMON
    )
    noisy = study.run(
        {f"{size}, noisy": [own] for size, own in SIZES.items()},
        common=COMMON,
        grid=[f"method.distiller.noise={{{noise}}}" for noise in NOISES],
    )
    rows, curves, gains = [], {}, {}
    for size in SIZES:
        control = choose(clean, f"{size}, clean", CHOICE)
        best = choose(noisy, f"{size}, noisy", CHOICE)
        gains[size] = Interval.of(list(best[REPORT] - control[REPORT]))
        for inputs, runs in (("clean", control), ("noisy", best)):
            noise = NOISES[int(runs["point"].iloc[0])].replace(":", " ") if inputs == "noisy" else "none"
            each = by_generation(runs)
            curves[f"{size}, {inputs}"] = each
            gain = Interval.of(list(runs[REPORT] - runs[TEACHING]))
            last = gains[size].points() if inputs == "noisy" else ""
            rows.append([f"{size}, {inputs}", noise, *(one.percent() for one in each), gain.points(), last])
    study.picture(picture(curves))
    said = [f"{size} student: {verdict(gain)} ({gain.points()} points)" for size, gain in gains.items()]
    study.show(
        f"Noisy students on digits, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        [
            "student",
            "noise",
            "teacher",
            *(f"generation {one + 1}" for one in range(GENERATIONS)),
            "last minus teacher, points",
            "noisy minus clean, points",
        ],
        rows,
        f"Noise against none, last generation: {'; '.join(said)}.",
    )


def by_generation(runs: pd.DataFrame) -> list[Interval]:
    """Return the teacher's accuracy and that of the student of each generation."""
    frames = [fedkd.load_runs(folder) for folder in runs["folder"]]
    each = [Interval.of(list(runs[TEACHING]))]
    for generation in range(1, GENERATIONS + 1):
        values = []
        for frame in frames:
            student = (
                (frame["scope"] == "student") & (frame["split"] == "test") & (frame["metric"] == "accuracy")
            )
            values.append(float(frame[student & (frame["round"] == generation)]["value"].iloc[0]))
        each.append(Interval.of(values))
    return each


def verdict(gain: Interval) -> str:
    """Return what the interval of a gain says."""
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "not settled"


def picture(curves: Mapping[str, list[Interval]]) -> Figure:
    """Draw accuracy over generations, the teacher first."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for place, (label, each) in enumerate(curves.items()):
        means = [100 * one.mean for one in each]
        spread = [[100 * (one.mean - one.low) for one in each], [100 * (one.high - one.mean) for one in each]]
        style = "o-" if label.endswith("noisy") else "s--"
        axes.errorbar(
            [number + 0.04 * place for number in range(len(each))],
            means,
            yerr=spread,
            fmt=style,
            capsize=3,
            label=label,
        )
    axes.set_xticks(
        range(GENERATIONS + 1), ["teacher", *(f"generation {one + 1}" for one in range(GENERATIONS))]
    )
    axes.set_ylabel("test accuracy, %")
    axes.legend(title="student, inputs")
    axes.grid(visible=True, alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
