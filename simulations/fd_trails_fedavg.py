"""Claim 1: mean-logit-per-label FD trails FedAvg badly under strong label skew (FedGen's table: 64.1 against 90.2 on MNIST).

Fashion-MNIST, 10 clients, Dirichlet 0.1. FD has no global model, so its clients are measured on the global test data, as
in the published tables; training alone is the control. The learning rate is chosen for each method on validation data.
"""

from simulations.study import Interval, Study, choose, seeds_from_command_line

ALPHAS = (0.1, 100.0)
COMMON = [
    "data=fashion_mnist", "data.samples=4000", "data.test_samples=2000", "partition=dirichlet", "model=mlp", "clients=10",
    "rounds=20", "evaluate_every=20", "runtime=inline", "method.client.fit.optimizer.clip_norm=null",
    "method.client.fit.epochs=2",
]  # fmt: skip
GRID = [f"method.client.fit.optimizer.lr={rate}" for rate in (0.01, 0.03, 0.1)]
ARMS = {"FD": "clients_mean", "local": "clients_mean", "FedAvg": "student"}


def main() -> None:
    """Run the study and print its table."""
    study = Study("fd_trails_fedavg", seeds_from_command_line(__doc__))
    rows, gaps = [], {}
    for alpha in ALPHAS:
        arms = {
            f"{name} alpha={alpha}": [f"method={name.lower()}", f"partition.alpha={alpha}"] for name in ARMS
        }
        frame = study.run(arms, common=COMMON, grid=GRID)
        chosen = {
            name: choose(frame, f"{name} alpha={alpha}", f"{scope}/validation/accuracy")
            for name, scope in ARMS.items()
        }
        accuracy = {name: chosen[name][f"{scope}/test/accuracy"] for name, scope in ARMS.items()}
        gaps[alpha] = Interval.of(list(accuracy["FD"] - accuracy["FedAvg"]))
        for name in ARMS:
            rate = GRID[int(chosen[name]["point"].iloc[0])].rpartition("=")[2]
            against = (
                Interval.of(list(accuracy[name] - accuracy["FedAvg"])).points() if name != "FedAvg" else ""
            )
            rows.append([f"{alpha:g}", name, rate, Interval.of(list(accuracy[name])).percent(), against])
    held = gaps[0.1].high < 0
    study.show(
        f"FD against FedAvg on Fashion-MNIST, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["alpha", "method", "lr (by validation)", "accuracy", "minus FedAvg, points"],
        rows,
        f"The claim {'held' if held else 'did not hold'}: at alpha = 0.1 FD is {gaps[0.1].points()} points from FedAvg, at alpha = 100 {gaps[100.0].points()}.",
    )


if __name__ == "__main__":
    main()
