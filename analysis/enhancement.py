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
# # Enhancement: specialists into one student
#
# One teacher knows the digits 0 to 4, the other 5 to 9. A student shall know all of them, and nobody gives it a label. What a specialist says
# about classes that it never saw is no knowledge: the fusion `union` leaves it out, a plain mean counts it. One seed makes an example, not a
# result: `simulations/enhancement.py` is the study.
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/enhancement.py`.

# %%
# %matplotlib inline
from pathlib import Path

import pandas as pd

import fedkd
from fedkd.foundation.run_folder import RunFolder
from fedkd.reporting.pictures import partition_picture

RUNS = Path("runs/enhancement")
FUSIONS = {
    "union, masked": "union",
    "mean of probabilities": "mean_probabilities",
    "mean of logits": "mean_logits",
}
QUICK = ("data.samples=800", "method.distiller.fit.epochs=20", "runtime=inline")

# %% [markdown]
# ## The runs

# %%
for fusion in FUSIONS.values():
    if not (RUNS / fusion / "summary.json").exists():
        parts = [f"method.fusion={fusion}", *(["method.weighting=uniform"] if fusion != "union" else [])]
        fedkd.run("method=enhancement", *QUICK, *parts, output=str(RUNS / fusion))

# %% [markdown]
# ## Who knows what

# %%
partition_picture(RunFolder.open(RUNS / "union").read_json("partition.json"))

# %% [markdown]
# ## Over all ten classes
#
# A specialist can be right on its own five at most.

# %%
finals = {
    name: RunFolder.open(RUNS / fusion).read_json("summary.json")["final"] for name, fusion in FUSIONS.items()
}
table = {f"student, {name}": final["student/test/accuracy"] for name, final in finals.items()}
table = {"a specialist": finals["union, masked"]["clients_mean/test/accuracy"], **table}
accuracies = pd.Series(table, name="test accuracy")
accuracies.round(3)

# %%
accuracies.plot.barh(xlabel="test accuracy over all classes").invert_yaxis()

# %% [markdown]
# ## Specialists of different tasks
#
# Three teachers grade the cut, the colour and the clarity of diamonds, one each. The student has a head for each task, and learns each from the one who knows it.

# %%
tasks = RUNS / "tasks"
if not (tasks / "summary.json").exists():
    fedkd.run("method=enhancement_tasks", "data.samples=1000", "runtime=inline", output=str(tasks))
final = RunFolder.open(tasks).read_json("summary.json")["final"]
# Heads that a specialist never learned have no weight: of each task, the ensemble is its specialist.
who = {"its specialist": "ensemble_weighted", "student": "student"}
grades = ["cut", "color", "clarity"]
pd.DataFrame(
    {name: [final[f"{scope}/test/accuracy_{grade}"] for grade in grades] for name, scope in who.items()}, grades
).round(3)
