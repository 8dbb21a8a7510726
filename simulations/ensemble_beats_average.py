"""Claim 2: under strong skew the ensemble of the clients beats the average of their weights.

Fashion-MNIST, 10 clients, FedAvg; in the last round the uniform ensemble of the clients against their average, which
started from the same weights. Beside it FedDF, whose student learns from that ensemble. The learning rate is
chosen on validation data; runs with a dead network are counted, not hidden.
"""

from simulations.study import Interval, Study, choose, seeds_from_command_line

ALPHAS = (0.1, 1.0, 100.0)
COMMON = [
    "data=fashion_mnist", "data.samples=4000", "data.test_samples=2000", "partition=dirichlet", "proxy.size=1000",
    "model=mlp", "clients=10", "rounds=10", "evaluate_every=10", "runtime=inline", "method.client.fit.epochs=5",
]  # fmt: skip
GRID = [f"method.client.fit.optimizer.lr={rate}" for rate in (0.01, 0.03)]


def main() -> None:
    """Run the study and print its table."""
    study = Study("ensemble_beats_average", seeds_from_command_line(__doc__))
    rows, gaps = [], {}
    for alpha in ALPHAS:
        arms = {
            f"{name} alpha={alpha}": [f"method={name}", f"partition.alpha={alpha}"]
            for name in ("fedavg", "feddf")
        }
        frame = study.run(arms, common=COMMON, grid=GRID)
        for name in ("fedavg", "feddf"):
            runs = choose(frame, f"{name} alpha={alpha}", "student/validation/accuracy")
            student, ensemble = runs["student/test/accuracy"], runs["ensemble_uniform/test/accuracy"]
            gaps[name, alpha] = Interval.of(list(ensemble - student))
            rows.append(
                [
                    f"{alpha:g}",
                    name,
                    GRID[int(runs["point"].iloc[0])].rpartition("=")[2],
                    Interval.of(list(runs["clients_mean/test/accuracy"])).percent(),
                    Interval.of(list(ensemble)).percent(),
                    Interval.of(list(student)).percent(),
                    gaps[name, alpha].points(),
                    f"{runs['clients_mean/test/dead'].sum():.0f}",
                ]
            )
    skewed = gaps["fedavg", 0.1]
    verdict = (
        "held"
        if skewed.low > 0
        else ("was reversed" if skewed.high < 0 else "did not show itself (the interval holds 0)")
    )
    study.show(
        f"Ensemble against weight average on Fashion-MNIST, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        [
            "alpha",
            "method",
            "lr",
            "clients",
            "ensemble",
            "student (average)",
            "ensemble minus student",
            "dead",
        ],
        rows,
        f"The claim {verdict} for FedAvg at alpha = 0.1: {skewed.points()} points; at alpha = 100: {gaps['fedavg', 100.0].points()}.",
    )


if __name__ == "__main__":
    main()
