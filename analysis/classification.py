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
# # Classification: pictures and text
#
# One recipe on two kinds of data: digits as pictures, messages to twenty newsgroups as weights of words. How often is
# the class right, how evenly over the classes, and how far can the probabilities be believed?
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/classification.py`.

# %%
# %matplotlib inline
from pathlib import Path

import fedkd
from fedkd.reporting.pictures import accuracy_by_round

RUNS = Path("runs/classification")
DATA = {
    "digits": ("proxy.size=200",),
    "newsgroups": ("data.words=500", "data.samples=2000", "data.test_samples=500", "proxy.size=400"),
}
METHODS = ("fedavg", "feddf")

# %% [markdown]
# ## The runs
#
# Five clients whose classes are skewed. FedAvg averages weights; FedDF lets the average learn what all clients together
# say of a public proxy set. All else is the same.

# %%
for data, options in DATA.items():
    for method in METHODS:
        folder = RUNS / f"{data}-{method}"
        if not (folder / "summary.json").exists():
            fedkd.run(
                f"method={method}",
                f"data={data}",
                *options,
                "partition=dirichlet",
                "partition.alpha=0.5",
                "model=mlp",
                "model.hidden=[32]",
                "method.client.fit.optimizer={name: adam, lr: 0.01}",
                "runtime=inline",
                clients=5,
                rounds=3,
                seed=0,
                output=str(folder),
            )

frame = fedkd.load_runs(RUNS)

# %% [markdown]
# ## Three numbers
#
# *Accuracy* counts samples alike, *macro-F1* counts classes alike, so a rare class that is never found costs as much as a
# frequent one. *ECE*, the expected calibration error, is the gap between how sure a network is and how often it is right
# (Guo et al., 2017, fifteen bins); smaller is better.

# %%
test = frame[(frame["split"] == "test") & (frame["round"] == frame["round"].max())]
scopes = ["student", "ensemble_uniform", "clients_mean"]
numbers = test[test["scope"].isin(scopes) & test["metric"].isin(["accuracy", "macro_f1", "ece"])]
numbers.pivot_table(index=["data", "method", "scope"], columns="metric", values="value").round(3)

# %% [markdown]
# ## By round, on text
#
# FedDF on the messages: the student between its teachers, their ensemble, and the best teacher for each sample.

# %%
accuracy_by_round(fedkd.load_runs(RUNS / "newsgroups-feddf"))

# %% [markdown]
# ## Who can be believed
#
# Accuracy against calibration: the lower right corner is where one wants to be. An ensemble is more often right than its
# members, and where they disagree it is less sure than they are, which can be too little: that is a calibration error, too.

# %%
from matplotlib.figure import Figure

figure = Figure(figsize=(8, 3.6), layout="constrained")
for axes, data in zip(figure.subplots(1, 2), DATA, strict=True):
    for marker, scope in zip("os^", scopes, strict=True):
        rows = numbers[(numbers["data"] == data) & (numbers["scope"] == scope)]
        at = rows.pivot_table(index="method", columns="metric", values="value")
        axes.scatter(at["accuracy"], at["ece"], marker=marker, label=scope.replace("_", " "))
        for up, (method, place) in zip((6, -9), at.iterrows(), strict=True):
            where = (place["accuracy"], place["ece"])
            axes.annotate(method, where, (0, up), textcoords="offset points", ha="center", fontsize=7, alpha=0.7)
    axes.margins(0.15)
    axes.set(title=data, xlabel="accuracy (test data)", ylabel="calibration error")
axes.legend(fontsize=8)
figure
