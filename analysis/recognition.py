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
# # Recognition: telling people apart whom nobody has seen
#
# Three clients know six people each, from pictures of their faces. Together they learn a network that turns a face into an
# *embedding*, a vector whose direction says who it is of. It is tried on people who were in nobody's training data: are
# two pictures of one person nearer to each other than to those of others?
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/recognition.py`.

# %%
# %matplotlib inline
from pathlib import Path

import fedkd
from fedkd.reporting.pictures import accuracy_by_round, clients_spread

RUNS = Path("runs/recognition")
METHODS = {
    "local": (),
    "fedavg": (),
    "fedmd": ("method.fusion=mean_relations", "method.client.divergence=task"),
}

# %% [markdown]
# ## The runs
#
# FedMD's clients begin with weights of their own, so the axes of their embeddings have nothing in common. What they can
# agree on is how alike two pictures are: `mean_relations` takes the mean of these angles over the clients, and makes
# embeddings of it again. Each client then learns these angles.

# %%
for method, options in METHODS.items():
    folder = RUNS / method
    if not (folder / "summary.json").exists():
        fedkd.run(
            f"method={method}",
            *options,
            "data=orl_faces",
            "data.shrink=4",
            "partition=classes",
            "partition.classes_per_client=6",
            "model=mlp",
            "runtime=inline",
            clients=3,
            rounds=4,
            seed=0,
            output=str(folder),
        )

frame = fedkd.load_runs(RUNS)

# %% [markdown]
# ## Verification and identification
#
# *AUC*: how often a pair of one person is nearer than a pair of two. *EER*: the share of mistakes where as many right pairs
# are turned away as wrong ones let in. *TAR at FAR*: the share of right pairs let in if one wrong pair in a hundred may be.
# *Rank-1*: how often the nearest of all other pictures is of the same person.

# %%
metrics = ["auc", "eer", "tar_at_far_0.01", "rank_1"]
test = frame[(frame["split"] == "test") & (frame["round"] == frame["round"].max())]
numbers = test[test["scope"].isin(["student", "ensemble_uniform", "clients_mean"]) & test["metric"].isin(metrics)]
numbers.pivot_table(index=["method", "scope"], columns="metric", values="value")[metrics].round(3)

# %% [markdown]
# The pixels themselves, without a network, on the same people: what any network has to beat.

# %%
import pandas as pd

from fedkd.data.datasets.orl_faces import OrlFaces
from fedkd.foundation.seeding import Streams
from fedkd.tasks import Recognition

unseen = OrlFaces(shrink=4).load(Streams(0)).test
pixels = Recognition().metrics(unseen.inputs["image"].flatten(1), unseen.targets)
pd.DataFrame([pixels], index=["pixels"])[metrics].round(3)

# %% [markdown]
# ## By round
#
# FedMD: the clients, their ensemble (whose angles are the mean of theirs), and the student that learns from it.

# %%
accuracy_by_round(fedkd.load_runs(RUNS / "fedmd"))

# %% [markdown]
# ## By client
#
# Each client on held-out pictures of the people whom it knows, and on those whom nobody has seen.

# %%
clients_spread(fedkd.load_runs(RUNS / "fedmd"))
