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
# # Generation: symbol by symbol, and whole continuations
#
# A toy grammar in which what follows a prompt is known: some letters, a separator, the letters backwards. How sure of the
# next symbol is a federation, how often is a whole continuation right, and what does a network write when it goes on by itself?
#
# The notebook is kept as text. To open it in Jupyter: `jupytext --to ipynb analysis/generation.py`.

# %%
# %matplotlib inline
from pathlib import Path

import fedkd
from fedkd.assembly.trained import weights_in
from fedkd.data.datasets.grammar import Grammar
from fedkd.distillation.beam import beam_search
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Signature, predict
from fedkd.models.gru import GRU
from fedkd.reporting.pictures import accuracy_by_round

RUNS = Path("runs/generation")
DATA = Grammar(letters=4, length=3)
METHODS = {
    "fedavg": (),
    "feddf, word level": ("method=feddf",),
    "feddf, sequence level": ("method=feddf", "method.distiller.sequences.beam=3"),
    "local": (),
}

# %% [markdown]
# ## The runs
#
# Three clients with strings of their own. Beside FedAvg and training alone there is FedDF twice: the average learns what
# all clients together say of the next symbol of public strings, or the whole continuations that a beam search finds for their
# prompts. To run this on roles of Shakespeare's plays: `data=shakespeare partition=natural proxy=dataset proxy.dataset=kjv`.

# %%
for name, options in METHODS.items():
    folder = RUNS / name.replace(", ", "-").replace(" ", "-")
    if not (folder / "summary.json").exists():
        fedkd.run(
            *(options or (f"method={name}",)),
            "data=grammar",
            "data.letters=4",
            "data.length=3",
            "partition=iid",
            "proxy.size=10",
            "model=gru",
            "model.hidden=32",
            "method.client.fit={epochs: 8, batch_size: 8, optimizer: {name: adam, lr: 0.01}}",
            "runtime=inline",
            clients=3,
            rounds=5,
            seed=0,
            output=str(folder),
        )

frame = fedkd.load_runs(RUNS)
last = frame["round"] == frame.groupby("run")["round"].transform("max")
frame[last & frame["scope"].isin(["student", "clients_mean"]) & (frame["split"] == "test")].pivot_table(
    index=["run", "scope"], columns="metric", values="value"
)[["bits_per_character", "perplexity", "accuracy", "exact_match"]]

# %% [markdown]
# ## By round
#
# The share of symbols that are named right. One wrong symbol spoils a continuation: exact matches come later.

# %%
accuracy_by_round(fedkd.load_runs(RUNS / "feddf-sequence-level"))

# %% [markdown]
# ## What it writes
#
# FedDF's student goes on from the prompts of test strings: each step reads what was written before.

# %%
network = GRU(hidden=32).build(Signature.of(DATA))
network.load_state_dict(weights_in(str(RUNS / "feddf-sequence-level"), key="checkpoint"))
strings = DATA.load(Streams(0)).test.inputs["tokens"][:8]
prompts = strings[:, : DATA.prompt]
written, _ = beam_search(
    lambda tokens: predict(network, {"tokens": tokens})[:, -1], prompts, length=DATA.length + 1, width=3
)
print("\n".join("".join(DATA.class_names[symbol] for symbol in one) for one in written.tolist()))
