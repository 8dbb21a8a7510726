"""Cross-modal distillation: a student that sees little learns, on pairs without labels, from a teacher that sees more (Gupta et al., 2016).

Multiple Features: 1,400 digits in several views, ten of each class with a label. The teacher reads pixels and learns those labels; the
student reads morphology, Zernike moments or Fourier coefficients, and learns what the teacher says of all 1,400. Controls: the same student on
the same labels alone, with the number of passes that is best on validation data; the teacher's answers as hard labels; and the pairs mixed up, so
that the student learns what was said of other digits. Beside answers, one student learns the teacher's features (Garcia et al., "Modality
Distillation with Multiple Stream Networks for Action Recognition", ECCV 2018, where the student's stream is to hallucinate those of the missing
modality), without their last step, in which a stream of the student's own modality votes too.

Clients of different views: two of each view, with some 60 labelled digits each and 400 public ones without labels, train alone, or teach each other
(`cross_modal_fedmd`), or do so with mixed-up pairs.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from simulations.study import Interval, Sheet, Study, choose, seeds_from_command_line

VIEWS = ("morphology", "zernike", "fourier")
INLINE = ["data=mfeat", "runtime=inline", "threads=1"]
FEW = [*INLINE, "partition=shared", "partition.per_class=10"]
DISTILLED = ["method=cross_modal", "partition.share=1.0", "method.distiller.fit.epochs=20"]
ALONE = [
    "method=pooled", "clients=1", "rounds=1", "proxy=none", "model=mlp", "method.client.fit.batch_size=32",
    "method.client.fit.optimizer={name:adam,lr:0.002}",
]  # fmt: skip
PASSES = [f"method.client.fit.epochs={epochs}" for epochs in (40, 200)]
CONTROLS = {
    "taught": [],
    "taught answers and features": [
        "method.distiller.temperature=1",
        "method.distiller.terms=[{name:kd,temperature:2.0},{name:hint}]",
    ],
    "taught by hard labels": ["method.distiller.hard=true"],
    "taught with mixed-up pairs": ["proxy.shuffled_views=true"],
}
TOGETHER = [*INLINE, "method=cross_modal_fedmd", "data.samples=800", "proxy.size=400"]
MIXTURE = (
    "{pixels:{name:mlp,view:pixels},zernike:{name:mlp,view:zernike},morphology:{name:mlp,view:morphology}}"
)
CLIENTS = {
    "each alone": [
        "method=local", "clients=6", "rounds=5", "proxy=heldout", "proxy.labelled=false", "partition=iid", "model=mixed",
        "model.shares={pixels:1,zernike:1,morphology:1}", f"model.models={MIXTURE}", "method.client.fit.epochs=5",
        "method.client.fit.optimizer={name:adam,lr:0.002}",
    ],
    "together": [],
    "together, mixed-up pairs": ["proxy.shuffled_views=true"],
}  # fmt: skip
STUDENT, MEAN, WORST = "student/{}/accuracy", "clients_mean/{}/accuracy", "clients_worst/{}/accuracy"
CHOICE, REPORT = STUDENT.format("validation"), STUDENT.format("test")


def main() -> None:
    """Run the study, print its tables and draw it."""
    study = Study("cross_modal", seeds_from_command_line(__doc__))
    rows, gains, teacher = [], dict[str, dict[str, Interval]](), Interval(0.0, 0.0, 0.0)
    for view in VIEWS:
        alone = study.run({f"{view} alone": [f"model.view={view}"]}, common=[*FEW, *ALONE], grid=PASSES)
        labels = choose(alone, f"{view} alone", CHOICE)[REPORT]
        arms = {f"{view} {name}": [*own, f"student.view={view}"] for name, own in CONTROLS.items()}
        frame = study.run(arms, common=[*DISTILLED, *FEW])
        scores = {name: _scores(frame, f"{view} {name}", REPORT) for name in CONTROLS}
        teacher = Interval.of(list(_scores(frame, f"{view} taught", MEAN.format("test"))))
        gains[view] = {name: Interval.of(list(own - labels)) for name, own in scores.items()}
        accuracy = [Interval.of(list(own)).percent() for own in (labels, scores["taught"])]
        rows.append([view, *accuracy, *(gain.points() for gain in gains[view].values())])
    federated, verdict = _federated(study)
    study.picture(_picture(gains))
    study.show(
        f"A student of another view than its teacher's, {len(study.seeds)} paired seeds, test accuracy in %, and differences to the same student on "
        "labels alone in points [95 % interval]",
        ["student reads", "labels alone", "taught", *(f"{name}: gain, points" for name in CONTROLS)],
        rows,
        f"The teacher, which reads pixels, reaches {teacher.percent()} %. {_verdict(gains)} {verdict}",
        further=[federated],
    )


def _scores(frame: pd.DataFrame, arm: str, column: str) -> pd.Series:
    own: pd.Series = frame[frame["arm"] == arm].set_index("seed").sort_index()[column]
    return own


def _federated(study: Study) -> tuple[Sheet, str]:
    """Run clients of different views, and return their table with what it says."""
    common = [*TOGETHER]
    frame = study.run(
        {name: own for name, own in CLIENTS.items() if own[:1] != ["method=local"]}, common=common
    )
    alone = study.run(
        {"each alone": CLIENTS["each alone"]}, common=[*INLINE, "data.samples=800", "proxy.size=400"]
    )
    frame = pd.concat([alone, frame], ignore_index=True)
    rows, gains = [], dict[str, Interval]()
    base = _scores(frame, "each alone", MEAN.format("test"))
    for name in CLIENTS:
        mean, worst = (_scores(frame, name, column.format("test")) for column in (MEAN, WORST))
        gains[name] = Interval.of(list(mean - base))
        against = "" if name == "each alone" else gains[name].points()
        rows.append([name, Interval.of(list(mean)).percent(), against, Interval.of(list(worst)).percent()])
    sheet = Sheet(
        "Clients that read pixels, Zernike moments or morphology, test accuracy in % [95 % interval]",
        ["clients", "mean client", "minus alone, points", "worst client"],
        rows,
    )
    real, mixed = gains["together"], gains["together, mixed-up pairs"]
    return (
        sheet,
        f"Clients of different views gain {real.points()} points together, and {mixed.points()} with mixed-up pairs.",
    )


def _verdict(gains: Mapping[str, Mapping[str, Interval]]) -> str:
    held = [view for view, own in gains.items() if own["taught"].low > 0]
    removed = [view for view, own in gains.items() if own["taught with mixed-up pairs"].low <= 0]
    return (
        f"Being taught beats labels alone for {_names(held)}; with mixed-up pairs there is no gain for {_names(removed)}, so it is the pairs "
        "that carry it."
    )


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _picture(gains: Mapping[str, Mapping[str, Interval]]) -> Figure:
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    sides = figure.subplots(1, len(gains), sharey=True)
    for axes, (view, own) in zip(sides, gains.items(), strict=True):
        axes.axvline(0.0, color="grey", linewidth=1)
        for place, gain in enumerate(own.values()):
            mean = 100 * gain.mean
            ends = [[mean - 100 * gain.low], [100 * gain.high - mean]]
            axes.errorbar([mean], [place], xerr=ends, fmt="o", capsize=3, color=f"C{place}")
        axes.set_yticks(range(len(own)), list(own))
        axes.set_title(f"student reads {view}", fontsize=10)
        axes.grid(visible=True, alpha=0.3)
    sides[0].invert_yaxis()
    figure.supxlabel("test accuracy minus that on labels alone, points", fontsize=10)
    return figure


if __name__ == "__main__":
    main()
