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
# # Ranking: which film comes next
#
# Four clients with a part of the users of MovieLens each learn which film a user rates next, of all 1,682. What is known of a
# user are the films that came before; the network takes the mean of their vectors, and knows no user by name.
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/ranking.py`.

# %%
# %matplotlib inline
from pathlib import Path

import fedkd
from fedkd.reporting.pictures import accuracy_by_round, clients_spread

RUNS = Path("runs/ranking")
METHODS = {
    "local": (),
    "fedavg": (),
    "feddf": ("method.fusion.name=reciprocal_rank", "method.fusion.sharpness=2"),
}

# %% [markdown]
# ## The runs
#
# The public set are users whom no client has. FedDF's student begins at the average of the clients and learns their rankings,
# fused by reciprocal places: what some client ranks very high counts.

# %%
for method, options in METHODS.items():
    folder = RUNS / method
    if not (folder / "summary.json").exists():
        fedkd.run(
            f"method={method}",
            *options,
            "data=movielens",
            "data.samples=6000",
            "partition=natural",
            "partition.merge=true",
            "proxy.by_owner=true",
            "model=item_bag",
            "model.width=16",
            "method.client.fit.epochs=2",
            "method.client.fit.optimizer={name: adam, lr: 0.005}",
            "runtime=inline",
            clients=4,
            rounds=3,
            seed=0,
            output=str(folder),
        )

frame = fedkd.load_runs(RUNS)

# %% [markdown]
# ## The last film of each user
#
# *HR@10*: how often it is among the ten that are ranked highest of all that the user has not rated. *NDCG@10*: the same, and the
# higher the better. *MRR*: the mean of one over its place.

# %%
metrics = ["ndcg_10", "hr_10", "mrr"]
test = frame[(frame["split"] == "test") & (frame["round"] == frame["round"].max())]
numbers = test[
    test["scope"].isin(["student", "ensemble_uniform", "clients_mean"]) & test["metric"].isin(metrics)
]
numbers.pivot_table(index=["method", "scope"], columns="metric", values="value")[metrics].round(3)

# %% [markdown]
# The films that were rated most, for everybody: what any network has to beat.

# %%
import pandas as pd
import torch

from fedkd.data.datasets.movielens import MovieLens
from fedkd.foundation.seeding import Streams
from fedkd.models._items import Known, excluded
from fedkd.models.base import Signature
from fedkd.tasks import Ranking

loaded = MovieLens().load(Streams(0))
known = Known(Signature.of(loaded.info))(loaded.test.inputs["history"], [loaded.test.inputs["seen"]])
popular = torch.bincount(loaded.train.targets, minlength=1682).float().expand(len(known), -1)
measured = Ranking().metrics(excluded(popular, known), loaded.test.targets)
pd.DataFrame([measured], index=["popularity"])[metrics].round(3)

# %% [markdown]
# ## By round

# %%
accuracy_by_round(fedkd.load_runs(RUNS / "feddf"))

# %% [markdown]
# ## By client
#
# Each client on held-out films of its own users, and on the last films of all.

# %%
clients_spread(fedkd.load_runs(RUNS / "feddf"))
