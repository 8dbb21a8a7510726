"""Claim 2: under strong skew the ensemble of the clients beats the average of their weights.

Fashion-MNIST, 10 clients, FedAvg; in the last round the uniform ensemble of the clients against their average, which
started from the same weights. Beside it FedDF, whose student learns from that ensemble, and FedAvg with the same local
passes in one single round, where clients drift furthest apart. The learning rate is chosen on validation data; clients with a
dead network are counted, not hidden.
"""

from simulations.study import Interval, Study, choose, seeds_from_command_line

ALPHAS = (0.1, 1.0, 100.0)
COMMON = [
    "data=fashion_mnist", "data.samples=4000", "data.test_samples=2000", "partition=dirichlet", "proxy.size=1000",
    "model=mlp", "clients=10", "rounds=10", "evaluate_every=10", "runtime=inline", "method.client.fit.optimizer.clip_norm=null",
    "method.client.fit.epochs=5",
]  # fmt: skip
ARMS = {
    "FedAvg": ["method=fedavg"],
    "FedDF": ["method=feddf"],
    "FedAvg, one round": ["method=fedavg", "rounds=1", "evaluate_every=1", "method.client.fit.epochs=50"],
}
GRID = [f"method.client.fit.optimizer.lr={rate}" for rate in (0.01, 0.03)]


def main() -> None:
    """Run the study and print its table."""
    study = Study("ensemble_beats_average", seeds_from_command_line(__doc__))
    rows, gaps = [], {}
    for alpha in ALPHAS:
        arms = {
            f"{name} alpha={alpha}": [*method, f"partition.alpha={alpha}"] for name, method in ARMS.items()
        }
        frame = study.run(arms, common=COMMON, grid=GRID)
        for name in ARMS:
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
    verdicts = "; ".join(
        f"{name}: {_word(gaps[name, 0.1])} ({gaps[name, 0.1].points()} points)"
        for name in ("FedAvg", "FedAvg, one round")
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
        f"The claim at alpha = 0.1, for clients that started from the same weights. {verdicts}.",
    )


def _word(gap: Interval) -> str:
    if gap.low > 0:
        return "held"
    return "was reversed" if gap.high < 0 else "did not show itself, the interval holds 0"


if __name__ == "__main__":
    main()
