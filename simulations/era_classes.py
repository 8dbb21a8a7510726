"""Claim 5: ERA helps with 10 classes and can hurt with many.

DS-FL with its entropy-reduction aggregation at 0.1 against the plain mean of probabilities and against sharpening by a
power, everything else alike: Fashion-MNIST (10 classes) and pairs of MNIST digits (100 classes), Dirichlet 0.1 and 100.
"""

from simulations.study import Interval, Study, choose, seeds_from_command_line

COMMON = [
    "method=dsfl",
    "partition=dirichlet",
    "proxy.labelled=false",
    "clients=10",
    "rounds=10",
    "evaluate_every=10",
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
    for alpha in (0.1, 100.0):
        for label, data in SETS.items():
            arms = {
                f"{fusion} {label} alpha={alpha}": [*data, *own, f"partition.alpha={alpha}"]
                for fusion, own in FUSIONS.items()
            }
            frame = study.run(arms, common=COMMON, grid=GRID)
            chosen = {
                fusion: choose(frame, f"{fusion} {label} alpha={alpha}", "student/validation/accuracy")
                for fusion in FUSIONS
            }
            plain = chosen["mean"]["student/test/accuracy"]
            for fusion, runs in chosen.items():
                student = runs["student/test/accuracy"]
                gaps[fusion, label, alpha] = Interval.of(list(student - plain))
                rows.append(
                    [
                        label,
                        f"{alpha:g}",
                        fusion,
                        GRID[int(runs["point"].iloc[0])].rpartition("=")[2],
                        Interval.of(list(runs["ensemble_uniform/test/accuracy"])).percent(),
                        Interval.of(list(student)).percent(),
                        gaps[fusion, label, alpha].points() if fusion != "mean" else "",
                    ]
                )
    helps = [gaps["ERA 0.1", "10 classes", alpha] for alpha in (0.1, 100.0)]
    hurts = [gaps["ERA 0.1", "100 classes", alpha] for alpha in (0.1, 100.0)]
    study.show(
        f"What fusion does to DS-FL's student, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["data", "alpha", "fusion", "lr", "ensemble", "student", "minus the mean, points"],
        rows,
        "ERA against the mean of probabilities, alpha = 0.1 and 100: "
        f"with 10 classes {helps[0].points()} and {helps[1].points()} (help claimed: {_word(helps, 1)}), "
        f"with 100 classes {hurts[0].points()} and {hurts[1].points()} (possible harm claimed: {_word(hurts, -1)}).",
    )


def _word(gaps: list[Interval], sign: int) -> str:
    seen = [gap.low > 0 if sign > 0 else gap.high < 0 for gap in gaps]
    return "seen in both" if all(seen) else "seen in one of two" if any(seen) else "not seen"


if __name__ == "__main__":
    main()
