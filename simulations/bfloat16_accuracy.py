"""What bfloat16 costs in accuracy: LeNet on Fashion-MNIST, FedAvg, with clients trained in float32 and in bfloat16.

Everything else is paired: data, split, initial weights, order of samples. The option is off by default; `simulations/bench` says what it
gains in time.
"""

from simulations.study import Interval, Study, seeds_from_command_line

COMMON = [
    "method=fedavg", "data=fashion_mnist", "data.samples=6000", "data.test_samples=2000", "partition=dirichlet",
    "partition.alpha=0.3", "model=lenet", "clients=10", "rounds=10", "evaluate_every=10", "runtime=inline",
    "method.client.fit.epochs=2", "method.client.fit.optimizer.lr=0.03",
]  # fmt: skip
ARMS = {"float32": "engine.precision=float32", "bfloat16": "engine.precision=bfloat16"}


def main() -> None:
    """Run the study and print its table."""
    study = Study("bfloat16_accuracy", seeds_from_command_line(__doc__))
    frame = study.run({name: [override] for name, override in ARMS.items()}, common=COMMON)
    accuracy = {
        name: frame[frame["arm"] == name].set_index("seed")["student/test/accuracy"].sort_index()
        for name in ARMS
    }
    gap = Interval.of(list(accuracy["bfloat16"] - accuracy["float32"]))
    spread = accuracy["float32"].max() - accuracy["float32"].min()
    inside = -spread < gap.low and gap.high < spread
    study.show(
        f"FedAvg of LeNet on Fashion-MNIST by precision, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["precision", "accuracy"],
        [[name, Interval.of(list(values)).percent()] for name, values in accuracy.items()],
        f"bfloat16 minus float32: {gap.points()} points, the whole interval {'within' if inside else 'not within'} the "
        f"{100 * spread:.1f} points between the best and the worst seed.",
    )


if __name__ == "__main__":
    main()
