"""Teacher size against student size, with and without an assistant: where does a better teacher make a worse student?

Survey, open problem 1; claims of TAKD (Mirzadeh et al., 2020): a student can learn less from a teacher that is much larger, and an assistant of a size between
the two helps. Fashion-MNIST, 1,000 samples that teacher, assistant and student all see, networks with one hidden layer; the assistant's width
is the geometric mean of the other two. Temperature, share of labels, passes and learning rates are those of the recipes `kd` and `takd` in all cells. Seeds are paired:
in a row all students begin with the same weights, in a column all learn from the same teacher. The control is the same student on labels alone.
"""

import itertools

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.study import Interval, Sheet, Study, seeds_from_command_line

TEACHERS, STUDENTS = (16, 64, 256, 1024), (3, 5, 10)
COMMON = [
    "data=fashion_mnist", "data.samples=1000", "data.test_samples=3000", "evaluate_every=2", "method.client.fit.epochs=10",
    "method.distiller.fit.epochs=15", "runtime=inline", "threads=1",
]  # fmt: skip
ACCURACY, TEACHER = "student/test/accuracy", "clients_mean/test/accuracy"
Ways = dict[tuple[str, int, int], pd.DataFrame]
"""Runs by seed: how the student learned, the teacher's width, the student's."""


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("architecture_gap", seeds_from_command_line(__doc__))
    arms = {("labels", 0, student): ["method.distiller.label_weight=1.0", *_sizes(TEACHERS[0], student)] for student in STUDENTS}  # fmt: skip
    for student in STUDENTS:
        for teacher in TEACHERS:
            between = assistant(teacher, student)
            chain = ["method=takd", f"method.strategy.assistants=[{{name: mlp, hidden: [{between}]}}]", "rounds=2"]  # fmt: skip
            arms["direct", teacher, student] = _sizes(teacher, student)
            arms["assisted", teacher, student] = [*chain, *_sizes(teacher, student)]
    frame = study.run(
        {f"{way} {teacher} {student}": own if way == "assisted" else ["method=kd", *own] for (way, teacher, student), own in arms.items()},
        common=COMMON,
    )  # fmt: skip
    runs = {
        key: frame[frame["arm"] == " ".join(map(str, key))].set_index("seed").sort_index() for key in arms
    }
    rows = []
    for student in STUDENTS:
        alone = runs["labels", 0, student][ACCURACY]
        rows.append([str(student), "none", "", "", Interval.of(list(alone)).percent(), "", "", ""])
        for teacher in TEACHERS:
            direct, assisted = (runs[way, teacher, student][ACCURACY] for way in ("direct", "assisted"))
            rows.append(
                [
                    str(student),
                    str(teacher),
                    Interval.of(list(runs["direct", teacher, student][TEACHER])).percent(),
                    str(assistant(teacher, student)),
                    Interval.of(list(direct)).percent(),
                    Interval.of(list(direct - alone)).points(),
                    Interval.of(list(assisted)).percent(),
                    Interval.of(list(assisted - direct)).points(),
                ]
            )
    study.picture(_picture(runs))
    study.show(
        f"Widths of teacher and student, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["student's width", "teacher's width", "teacher", "assistant's width", "student", "minus labels alone, points", "with an assistant", "by the assistant, points"],
        rows,
        _verdict(runs),
        further=[_steps(runs)],
    )  # fmt: skip


def assistant(teacher: int, student: int) -> int:
    """Return the width between two others."""
    return round((teacher * student) ** 0.5)


def _sizes(teacher: int, student: int) -> list[str]:
    return [f"model.hidden=[{teacher}]", f"student.hidden=[{student}]"]


def _pairs(runs: Ways) -> list[tuple[int, int, int, Interval, Interval]]:
    """Return each step from a teacher to the next larger one: student, both widths, change of the teacher and of the student."""
    found = []
    for student in STUDENTS:
        for small, large in itertools.pairwise(TEACHERS):
            changes = [
                Interval.of(list(runs["direct", large, student][column] - runs["direct", small, student][column]))
                for column in (TEACHER, ACCURACY)
            ]  # fmt: skip
            found.append((student, small, large, changes[0], changes[1]))
    return found


def _steps(runs: Ways) -> Sheet:
    return Sheet(
        "From one teacher to the next larger one, points",
        ["student's width", "teacher's width", "change of the teacher", "change of the student"],
        [
            [str(student), f"{small} to {large}", taught.points(), learned.points()]
            for student, small, large, taught, learned in _pairs(runs)
        ],
    )


def _verdict(runs: Ways) -> str:
    steps = _pairs(runs)
    worse = [f"width {s}, {a} to {b} ({own.points()})" for s, a, b, taught, own in steps if taught.mean > 0 and own.high < 0]  # fmt: skip
    better = [f"width {s}, {a} to {b} ({own.points()})" for s, a, b, _, own in steps if own.low > 0]
    cells = [(teacher, student) for student in STUDENTS for teacher in TEACHERS]
    helped, harmed = (
        [
            f"{teacher} to {student} ({gain.points()})"
            for teacher, student in cells
            if sign * (gain := _gain(runs, "assisted", "direct", teacher, student)).mean > 0
            and gain.excludes_zero
        ]
        for sign in (1, -1)
    )
    over = [Interval.of(list(np.mean([runs["direct", teacher, student][ACCURACY] - runs["labels", 0, student][ACCURACY] for teacher in TEACHERS], axis=0))) for student in STUDENTS]  # fmt: skip
    controls = ", ".join(f"width {student} {gain.points()}" for student, gain in zip(STUDENTS, over, strict=True))  # fmt: skip
    everywhere = Interval.of(list(np.mean([runs["assisted", *cell][ACCURACY] - runs["direct", *cell][ACCURACY] for cell in cells], axis=0)))  # fmt: skip
    return (
        f"Steps of {len(steps)} to a larger teacher that is better on average and certainly makes a worse student: {'; '.join(worse) or 'none'}. Steps that certainly make a better one: "
        f"{'; '.join(better) or 'none'}. The assistant certainly helped: {'; '.join(helped) or 'nowhere'}; harmed: {'; '.join(harmed) or 'nowhere'}; over all cells {everywhere.points()} points. "
        f"A teacher against labels alone, mean over the teachers, points: {controls}. Intervals are not corrected for their number."
    )


def _gain(runs: Ways, way: str, other: str, teacher: int, student: int) -> Interval:
    return Interval.of(list(runs[way, teacher, student][ACCURACY] - runs[other, teacher, student][ACCURACY]))


def _picture(runs: Ways) -> Figure:
    """Draw three maps: the student, what the teacher adds to labels alone, what the assistant adds to that."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)

    def of(value: str, other: tuple[str, bool] | None) -> npt.NDArray[np.float64]:
        cells = [
            [
                100 * float((runs[value, t, s][ACCURACY] - (0 if other is None else runs[other[0], t * other[1], s][ACCURACY])).mean())
                for t in TEACHERS
            ]
            for s in STUDENTS
        ]  # fmt: skip
        return np.array(cells)

    _map(panels[0], of("direct", None), "student, %", None)
    _map(panels[1], of("direct", ("labels", False)), "minus labels alone, points", ("direct", "labels", runs))
    _map(panels[2], of("assisted", ("direct", True)), "by an assistant, points", ("assisted", "direct", runs))
    panels[0].set_ylabel("width of the student")
    figure.supxlabel(
        "width of the teacher (below: its accuracy, %); bold: the whole interval on one side of 0", fontsize=9
    )
    teachers = [100 * float(runs["direct", teacher, STUDENTS[0]][TEACHER].mean()) for teacher in TEACHERS]
    for axes in panels:
        axes.set_xticks(range(len(TEACHERS)), [f"{t}\n{own:.1f}" for t, own in zip(TEACHERS, teachers, strict=True)])  # fmt: skip
        axes.set_yticks(range(len(STUDENTS)), [str(student) for student in STUDENTS])
    return figure


def _map(
    axes: Axes, values: npt.NDArray[np.float64], title: str, compared: tuple[str, str, Ways] | None
) -> None:
    reach = float(np.abs(values).max())
    limits = {} if compared is None else {"vmin": -reach, "vmax": reach}
    axes.imshow(values, cmap="viridis" if compared is None else "RdBu", aspect="auto", **limits)
    for (row, column), value in np.ndenumerate(values):
        teacher, student = TEACHERS[column], STUDENTS[row]
        sure = False
        if compared is not None:
            way, other, runs = compared
            reference = runs[other, teacher if other == "direct" else 0, student][ACCURACY]
            sure = Interval.of(list(runs[way, teacher, student][ACCURACY] - reference)).excludes_zero
        pale = compared is None and value < values.min() + 0.6 * (values.max() - values.min())
        dark = compared is not None and abs(value) > 0.7 * reach
        text = f"{value:.1f}" if compared is None else f"{value:+.1f}"
        axes.text(column, row, text, ha="center", va="center", weight="bold" if sure else "normal", color="white" if pale or dark else "black")  # fmt: skip
    axes.set_title(title)


if __name__ == "__main__":
    main()
