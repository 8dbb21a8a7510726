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
# # Compression: how small may a student be?
#
# One large teacher, students of a few sizes, on scikit-learn's digits: each student once with the teacher's answers and once on the
# labels alone. What a network costs is counted (`fedkd run --check` says it, too); what it is worth is its accuracy on test data. One seed
# makes an example, not a result: `simulations/compression.py` is the study.
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/compression.py`.

# %%
# %matplotlib inline
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import fedkd
from fedkd.assembly.experiment import Experiment
from fedkd.cli.estimate import network_costs
from fedkd.foundation.run_folder import RunFolder

RUNS = Path("runs/compression")
STUDENTS = (8, 16, 32)
WAYS = {"taught": 0.1, "on labels": 1.0}
QUICK = (
    "data.samples=600",
    "model.hidden=[256]",
    "method.client.fit.epochs=15",
    "method.distiller.fit.epochs=20",
    "runtime=inline",
)

# %% [markdown]
# ## The runs

# %%
rows = []
for hidden in STUDENTS:
    for way, weight in WAYS.items():
        folder = RUNS / f"{hidden}-{way}"
        if not (folder / "summary.json").exists():
            options = (f"student.hidden=[{hidden}]", f"method.distiller.label_weight={weight}")
            fedkd.run("method=compression", *QUICK, *options, output=str(folder))
        final = RunFolder.open(folder).read_json("summary.json")["final"]
        teachers, student = network_costs(Experiment.from_config(RunFolder.open(folder).config()))
        rows.append(
            {"hidden": hidden, "way": way, **student._asdict(), "accuracy": final["student/test/accuracy"]}
        )
teacher = {**teachers["mlp"]._asdict(), "accuracy": final["clients_mean/test/accuracy"]}
table = pd.DataFrame(rows)
table.pivot_table(index=["hidden", "parameters", "flops"], columns="way", values="accuracy")

# %% [markdown]
# ## The frontier
#
# Towards the upper left is better: more right answers with fewer parameters. The square is the teacher.

# %%
figure, axes = plt.subplots(layout="constrained")
for way, own in table.groupby("way"):
    axes.plot(own["parameters"], 100 * own["accuracy"], "o-", label=f"student {way}")
axes.plot(teacher["parameters"], 100 * teacher["accuracy"], "ks", label="teacher")
axes.set(xscale="log", xlabel="parameters", ylabel="test accuracy, %")
axes.legend()
