# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Regression: numbers, and how sure one is of them
#
# Four teachers see the same patients and foretell how their diabetes will progress. One of them was taught shuffled
# numbers. A small student learns what they say together. Networks say a number, or a normal distribution of it: a mean
# and a variance.
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/regression.py`.

# %%
# %matplotlib inline
from pathlib import Path

import fedkd
from fedkd.reporting.pictures import accuracy_by_round, clients_spread

RUNS = Path("runs/regression")
NUMBERS = ("method=aver", "data=diabetes", "partition.wrong=shuffled", "model=mlp")
WAYS = {
    "mean": (*NUMBERS, "method.fusion=mean_logits"),
    "median": (*NUMBERS, "method.fusion={name: median, of: outputs}"),
    "mixture": ("method=gaussian_experts", "method.fusion=mixture"),
    "precision": ("method=gaussian_experts", "method.fusion=precision"),
    "product": ("method=gaussian_experts", "method.fusion=product"),
}

# %% [markdown]
# ## The runs
#
# Of plain numbers the mean or the median is taken. Of normal distributions, `mixture` takes the mean and the variance of
# their mixture; `precision` weighs each by how sure it is; `product` also counts every teacher as evidence of its own, so
# that four who agree have a quarter of the variance.

# %%
for way, options in WAYS.items():
    folder = RUNS / way
    if not (folder / "summary.json").exists():
        fedkd.run(
            *options,
            "model.hidden=[32]",
            "method.client.fit.epochs=20",
            "method.distiller.fit.epochs=20",
            "runtime=inline",
            seed=0,
            output=str(folder),
        )

frame = fedkd.load_runs(RUNS)
frame["way"] = frame["run"].map(lambda run: Path(run).name)

# %% [markdown]
# ## How far off, and how honest
#
# *RMSE* is in the units of the study. For normal distributions there is more: *NLL*, the negative log-likelihood of the true
# number in nats; *coverage*, the share of true numbers within the central 90 % interval, which should be 0.9; and
# *miscalibration*, the mean gap between the probabilities that are said and the shares that are found (Kuleshov et al., 2018).
# One seed and ninety patients in the test part: read it as a demonstration.

# %%
test = frame[(frame["split"] == "test") & (frame["scope"] == "student") & frame["way"].isin(WAYS)]
shown = ["rmse", "r2", "nll", "coverage_90", "miscalibration"]
test[test["metric"].isin(shown)].pivot_table(index="way", columns="metric", values="value")[shown].round(3)

# %% [markdown]
# ## Teachers and student
#
# A federation of the same patients, over four rounds: each client has its own, and the average of all learns what all of
# them say of a public set.

# %%
federated = RUNS / "feddf"
if not (federated / "summary.json").exists():
    fedkd.run(
        "method=feddf",
        "data=diabetes",
        "data.predicts=gaussian",
        "method.fusion=precision",
        "model=mlp",
        "model.hidden=[32]",
        "runtime=inline",
        clients=3,
        rounds=4,
        seed=0,
        output=str(federated),
    )
accuracy_by_round(fedkd.load_runs(federated))

# %% [markdown]
# Every client on its own patients, and on the test part.

# %%
clients_spread(fedkd.load_runs(federated))
