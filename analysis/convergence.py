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
# # Convergence of federated distillation
#
# How fast does a federation learn, what does it cost to send, which clients gain, and where is quality lost between
# the teachers, their ensemble and the student? This notebook makes a few small runs on scikit-learn's digits (or loads
# them when they are there), and draws each answer.
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/convergence.py`.

# %%
# %matplotlib inline
from pathlib import Path

import fedkd
from fedkd.reporting.frames import load_ledger
from fedkd.reporting.pictures import (
    accuracy_by_bytes,
    accuracy_by_round,
    clients_spread,
    decomposition,
    partition_picture,
    seeds_band,
)

RUNS = Path("runs/convergence")
METHODS = ("dsfl", "fedavg")
SEEDS = (0, 1, 2)

# %% [markdown]
# ## The runs
#
# Two ways to federate the same eight clients, whose classes are split by a Dirichlet distribution: DS-FL exchanges
# predictions on a public proxy set, FedAvg exchanges weights. Three seeds each. Runs of your own: point `RUNS` at them
# and skip this cell.

# %%
for method in METHODS:
    for seed in SEEDS:
        folder = RUNS / f"{method}-{seed}"
        if not (folder / "summary.json").exists():
            fedkd.run(
                f"method={method}",
                "data=digits",
                "partition=dirichlet",
                "partition.alpha=0.3",
                "runtime=inline",
                clients=8,
                rounds=5,
                seed=seed,
                baselines="all" if method == "dsfl" else "none",
                output=str(folder),
            )

frame, ledger = fedkd.load_runs(RUNS), load_ledger(RUNS)
last = frame["round"] == frame.groupby("run")["round"].transform("max")
frame[last & frame["scope"].isin(["student", "clients_mean"]) & (frame["metric"] == "accuracy")].pivot_table(
    index=["method", "scope", "split"], values="value", aggfunc=["mean", "std", "count"]
)

# %% [markdown]
# ## Who has what
#
# The first seed's partition: each dot is how many samples of a class a client has.

# %%
import json

one_run = RUNS / "dsfl-0"
partition_picture(json.loads((one_run / "partition.json").read_text()))

# %% [markdown]
# ## By round
#
# One run of DS-FL. The grey band reaches from the worst client to the best, all measured on the same test data. The
# oracle takes, for each sample, the teacher that is best on it: no fusion can do better.

# %%
accuracy_by_round(fedkd.load_runs(one_run))

# %% [markdown]
# ## By bytes
#
# The same accuracies against what had to be sent. Each line is a run; DS-FL pays for the proxy set once, at the start.

# %%
accuracy_by_bytes(frame, ledger)

# %% [markdown]
# ## By client
#
# After the last round: each client on its own held-out data (few classes, so easy), and on the common test data.

# %%
clients_spread(fedkd.load_runs(one_run))

# %% [markdown]
# ## From teachers to student
#
# From the clients' mean to an ensemble: what fusing gives. From an ensemble to the oracle: what a better weighting could
# still give. From an ensemble to the student: what distillation loses, or wins. The baselines below bound it: what a
# client reaches alone, what the proxy set's own labels are worth, and what all data in one place would give.

# %%
decomposition(frame[frame["method"] == "dsfl"])

# %% [markdown]
# ## Over seeds
#
# The mean over seeds, with its 95 % interval (Student's t). Where bands overlap, these runs do not tell the methods apart.

# %%
seeds_band(frame, by="method")
