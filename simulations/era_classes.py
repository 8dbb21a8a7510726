"""Claim 5: ERA helps with 10 classes and can hurt with many.

DS-FL with its entropy reduction averaging at 0.1 against the plain mean of probabilities and against sharpening by a
power, everything else alike: Fashion-MNIST (10 classes) and pairs of MNIST digits (100 classes), Dirichlet 0.3.
"""

from simulations.study import Interval, Study, choose, seeds_from_command_line

COMMON = [
    "method=dsfl",
    "partition=dirichlet",
    "partition.alpha=0.3",
    "proxy.labelled=false",
    "clients=10",
    "rounds=8",
    "evaluate_every=8",
    "runtime=inline",
]
SETS = {
    "10 classes": [
        "data=fashion_mnist",
        "data.samples=4000",
        "data.test_samples=2000",
        "proxy.size=1000",
        "model=mlp",
    ],
    "100 classes": ["data=simulations.pairs:Pairs", "proxy.size=1000", "model=mlp", "model.hidden=[200]"],
}
FUSIONS = {
    "mean": ["method.fusion=mean_probabilities"],
    "ERA 0.1": ["method.fusion=era", "method.fusion.temperature=0.1"],
    "power 2": ["method.fusion=power", "method.fusion.exponent=2"],
}
STAGES = ("client.fit", "client.digest", "distiller.fit")
GRID = [" ".join(f"method.{stage}.optimizer.lr={rate}" for stage in STAGES) for rate in (0.001, 0.003)]


def main() -> None:
    """Run the study and print its table."""
    study = Study("era_classes", seeds_from_command_line(__doc__))
    rows, gaps = [], {}
    for label, data in SETS.items():
        frame = study.run(
            {f"{fusion} {label}": [*data, *own] for fusion, own in FUSIONS.items()}, common=COMMON, grid=GRID
        )
        chosen = {
            fusion: choose(frame, f"{fusion} {label}", "student/validation/accuracy") for fusion in FUSIONS
        }
        for fusion, runs in chosen.items():
            student = runs["student/test/accuracy"]
            gaps[fusion, label] = Interval.of(list(student - chosen["mean"]["student/test/accuracy"]))
            rows.append(
                [
                    label,
                    fusion,
                    GRID[int(runs["point"].iloc[0])].rpartition("=")[2],
                    Interval.of(list(runs["ensemble_uniform/test/accuracy"])).percent(),
                    Interval.of(list(student)).percent(),
                    gaps[fusion, label].points() if fusion != "mean" else "",
                ]
            )
    few, many = gaps["ERA 0.1", "10 classes"], gaps["ERA 0.1", "100 classes"]
    study.show(
        f"What fusion does to DS-FL's student, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["data", "fusion", "lr (by validation)", "ensemble", "student", "minus the mean, points"],
        rows,
        f"ERA against the mean of probabilities. With 10 classes it is claimed to help: {_word(few)} ({few.points()} points). "
        f"With 100 classes it is claimed that it can hurt: {_word(many)} ({many.points()} points).",
    )


def _word(gap: Interval) -> str:
    if gap.excludes_zero:
        return "it helped" if gap.mean > 0 else "it hurt"
    return "no difference was seen"


if __name__ == "__main__":
    main()
