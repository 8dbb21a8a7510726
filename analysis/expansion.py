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
# # Expansion: a noisy student outgrows its teacher
#
# The teacher learns on the few digits that have labels. A larger student learns what the teacher says of all of them, on inputs with noise, and
# then teaches the next one. Beside it the same without noise. One seed makes an example, not a result: `simulations/expansion.py` is the
# study.
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/expansion.py`.

# %%
# %matplotlib inline
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import fedkd

RUNS = Path("runs/expansion")
NOISES = {"moved images": "{shifted:1}", "none": "{}"}
QUICK = (
    "data.samples=800",
    "partition.share=0.2",
    "student.hidden=[128]",
    "rounds=3",
    "method.distiller.fit.epochs=15",
    "runtime=inline",
)

# %% [markdown]
# ## The runs

# %%
for name, noise in NOISES.items():
    folder = RUNS / name.replace(" ", "-")
    if not (folder / "summary.json").exists():
        fedkd.run("method=expansion", *QUICK, f"method.distiller.noise={noise}", output=str(folder))

# %% [markdown]
# ## Generation by generation
#
# A round is a generation. Clients rest after the first, so the teacher's accuracy is a line.

# %%
figure, axes = plt.subplots(layout="constrained")
table = {}
for name in NOISES:
    frame = fedkd.load_runs(RUNS / name.replace(" ", "-"))
    test = frame[(frame["split"] == "test") & (frame["metric"] == "accuracy") & (frame["round"] > 0)]
    student = test[test["scope"] == "student"].set_index("round")["value"]
    teacher = float(test[test["scope"] == "clients_mean"]["value"].iloc[0])
    table[name] = {"teacher": teacher, **{f"generation {number}": value for number, value in student.items()}}
    axes.plot(student.index, 100 * student, "o-", label=f"noise: {name}")
axes.axhline(100 * teacher, color="black", linestyle=":", label="teacher")
axes.set(xlabel="generation", ylabel="test accuracy, %", xticks=student.index)
axes.legend()
# %%
pd.DataFrame(table).T.round(3)
