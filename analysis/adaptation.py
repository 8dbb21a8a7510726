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
# # Adaptation: teachers of other domains, a student of this one
#
# Three teachers know digits of other origins: MNIST, MNIST in negative, and the Dutch maps of mfeat. The student is to read scikit-learn's
# digits, of which nobody gives it a label. How much should each teacher count? One seed makes an example, not a result:
# `simulations/adaptation.py` is the study.
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/adaptation.py`.

# %%
# %matplotlib inline
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import safetensors.torch

import fedkd
from fedkd.data.datasets.digit_domains import DigitDomains
from fedkd.foundation.run_folder import RunFolder
from fedkd.foundation.seeding import Streams

RUNS = Path("runs/adaptation")
SOURCES = ("mnist", "negative", "mfeat")
WEIGHTINGS = {
    "uniform": "uniform",
    "similarity": "similarity",
    "density-ratio": "{name:domain_classifier,form:density_ratio}",
}
QUICK = (
    "data.per_source=500",
    "proxy.size=300",
    "method.client.fit.epochs=10",
    "method.distiller.fit.epochs=15",
    "runtime=inline",
)

# %% [markdown]
# ## The domains

# %%
samples = DigitDomains(sources=SOURCES, per_source=100).load(Streams(0)).train
figure, panels = plt.subplots(len(SOURCES) + 1, 8, figsize=(6, 3.2), layout="constrained")
for owner, (row, name) in enumerate(zip(panels, (*SOURCES, "target: digits"), strict=True)):
    for axes, image in zip(row, samples.inputs["image"][samples.owners == owner], strict=False):
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right")

# %% [markdown]
# ## The runs

# %%
for name, weighting in WEIGHTINGS.items():
    if not (RUNS / name / "summary.json").exists():
        sources = f"data.sources=[{','.join(SOURCES)}]"
        fedkd.run(
            "method=adaptation", *QUICK, sources, f"method.weighting={weighting}", output=str(RUNS / name)
        )

# %% [markdown]
# ## Who counts how much, and who is right how often
#
# Weights are made without any label of the target; the teachers' accuracy on its test data tells whether they were well made.

# %%
table = {}
for name in WEIGHTINGS:
    checkpoint = RunFolder.open(RUNS / name).load_checkpoint()
    weights = safetensors.torch.load(checkpoint.blobs["strategy"])["weights"].tolist()
    final = RunFolder.open(RUNS / name).read_json("summary.json")["final"]
    table[name] = {
        **dict(zip(SOURCES, weights, strict=True)),
        "student's accuracy": final["student/test/accuracy"],
    }
frame = fedkd.load_runs(RUNS / "uniform")
own = frame[(frame["scope"] == "client") & (frame["split"] == "test") & (frame["metric"] == "accuracy")]
table["accuracy of the teacher"] = dict(zip(SOURCES, own.sort_values("client")["value"], strict=True))
table = pd.DataFrame(table).T
table.round(3)

# %%
table[list(SOURCES)].T.plot.bar(ylabel="weight, or accuracy on the target", rot=0)
