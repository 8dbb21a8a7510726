"""Claim 4: the bytes of logits do not depend on the size of the model; those of weights do.

100 clients, 1,000 public samples of Fashion-MNIST, one round, networks from 8 thousand to 1.7 million weights. Payload is
read off the ledger of real runs and held against the formulas: weights 2K|w|b, logits 2KPCb (the first round has no
down-link of logits, so two rounds are run and the second is taken); with multicast the down-link counts once.
"""

import pandas as pd
from matplotlib.figure import Figure

import fedkd
from fedkd.models import MODELS
from fedkd.models.base import count_parameters
from simulations.study import Study, slug

CLIENTS, PUBLIC, CLASSES, BYTES = 100, 1000, 10, 4
MODELS_BY_NAME = {
    "logistic": ["model=logistic"],
    "mlp 64-64": ["model=mlp"],
    "lenet": ["model=lenet"],
    "lenet 32-64-512": ["model=lenet", "model.channels=[32,64]", "model.hidden=512"],
}
COMMON = [
    "data=fashion_mnist", "data.samples=3000", "data.test_samples=200", "data.validation=0.01", "partition=iid",
    f"proxy.size={PUBLIC}", f"clients={CLIENTS}", "rounds=2", "evaluate_every=2", "runtime=inline", "seed=0",
    "method.client.fit.epochs=1",
]  # fmt: skip


# Bytes do not depend on how long anybody trains: one step each.
SHORT = {
    "fedavg": ["method.client.fit.max_steps=1"],
    "dsfl": [f"method.{stage}.max_steps=1" for stage in ("client.fit", "client.digest", "distiller.fit")],
}


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("bytes_by_model_size", [0])
    rows, drawn = [], []
    for name, model in MODELS_BY_NAME.items():
        weights = _weights(model)
        for method in ("fedavg", "dsfl"):
            study.run({f"{method} {name}": [f"method={method}", *model, *SHORT[method]]}, common=COMMON)
            ledger = fedkd.load_ledger(study.folder / slug(f"{method} {name}") / "0" / "0")
            second = ledger[(ledger["round"] == 2) & (ledger["phase"] == "train")]
            up, down = (
                int(second.loc[second["direction"] == way, "payload"].sum()) for way in ("up", "down")
            )
            formula = 2 * CLIENTS * (weights if method == "fedavg" else PUBLIC * CLASSES) * BYTES
            if up + down != formula:
                raise AssertionError(
                    f"{method} {name}: the ledger says {up + down} bytes, the formula {formula}"
                )
            multicast = up + down / CLIENTS
            drawn.append({"method": method, "weights": weights, "MB": multicast / 1e6})
            rows.append(
                [
                    name,
                    f"{weights:,}",
                    method,
                    f"{(up + down) / 1e6:.2f}",
                    f"{multicast / 1e6:.2f}",
                    f"{int(second['bytes'].sum()) / 1e6:.2f}",
                ]
            )
    constant = {row["MB"] for row in drawn if row["method"] == "dsfl"}
    study.picture(_picture(pd.DataFrame(drawn)))
    study.show(
        "Bytes of one round, 100 clients, 1,000 public samples, 10 classes, float32",
        [
            "model",
            "weights",
            "method",
            "payload, MB (= formula)",
            "with multicast, MB",
            "serialised messages, MB",
        ],
        rows,
        f"The claim held: DS-FL sends {max(constant):.2f} MB a round with multicast whatever the model; every payload equals its formula to the byte."
        if len(constant) == 1
        else "The claim did not hold: DS-FL's bytes depend on the model.",
    )


def _weights(overrides: list[str]) -> int:
    name = overrides[0].partition("=")[2]
    options = {"channels": [32, 64], "hidden": 512} if len(overrides) > 1 else {}
    return count_parameters(
        MODELS.create({"name": name, **options}, key="model").network((1, 28, 28), CLASSES)
    )


def _picture(frame: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for method, group in frame.groupby("method"):
        axes.plot(group["weights"], group["MB"], marker="o", label=str(method))
    axes.set(
        xscale="log", yscale="log", xlabel="weights of the model", ylabel="MB a round, down-link multicast"
    )
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
