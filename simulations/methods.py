"""All methods on one budget: accuracy with intervals, bytes to a target, wall time, and each paper's claim held against it.

Fashion-MNIST, a pool of 2,000 samples of which 400 are public, 10 clients, two skews. Budget of all: the same rounds, two passes over
private data a round, two over the public set by each client that digests, three by each distiller. So recipes that ask for more (CFD
starts its networks anew in each round and asks for 30 passes) are shown on less than they ask for. Each method's learning rates are the
recipe's, times the one of five factors that is best on validation data of two seeds and a skew, between the two, that are not reported.
Against FedAvg stands the student, or the clients' mean where a method trains none. Methods are those of the recipes: a new one joins
by itself. A method of one round makes the passes of all rounds in it.

Beside them: `local`, `pooled` (all data in one place, the same passes), `pseudo-labels` (FedDF with hard labels), `fedavg-once` (FedAvg in one round,
against which stands what needs one round only) and `dense-probabilities` (DENSE with the mean of probabilities in place of that of logits).
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

import fedkd
from fedkd.assembly.compose import compose, recipes, recipes_dir
from fedkd.cli.methods import facts_of, read_methods
from simulations.claims import CLAIMS
from simulations.study import Interval, Sheet, Study, seeds_from_command_line

ALPHAS = (0.1, 1.0)
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
TUNING_ALPHA, TUNING_SEEDS = 0.3, (100, 101)
REFERENCE = "fedavg"
# Schemes with studies of their own: teachers before students, online and self-distillation, views.
CENTRAL_STRATEGIES = ("offline_distillation",)
CENTRAL_METHODS = ("byot", "cross_modal_fedmd", "dml", "kdcl", "one", "pcl", "ps_kd", "tf_kd")
# Arms that are recipes with another option, and those that have one round.
VARIANTS = {"pseudo-labels": "feddf", "fedavg-once": "fedavg", "dense-probabilities": "dense"}
OPTIONS = {
    "pseudo-labels": "method.distiller.hard=true",
    "dense-probabilities": "method.strategy.mean=probabilities",
}
ONE_SHOT = ("dense", "dense-probabilities", "fedavg-once")
BESIDE = ("local", "pooled", *VARIANTS)
ROUNDS = 8
TARGET = 0.9  # share of the reference's accuracy
COMMON = [
    "data=fashion_mnist", "data.samples=2000", "data.test_samples=2000", "partition=dirichlet", "proxy.size=400", "model=mlp",
    "model.hidden=[64]", "clients=10", f"rounds={ROUNDS}", "evaluate_every=2", "runtime=inline", "threads=1",
]  # fmt: skip
PASSES = {"client": 2, "distiller": 3}
COLUMNS = [
    "alpha", "method", "public set", "lr, times the recipe's", "student", "clients' mean", "clients' mean, own data", "minus FedAvg, points",
    "traffic, MB", f"MB to {TARGET:.0%} of FedAvg's accuracy", "wall time, s",
]  # fmt: skip
CLIENTS, OWN, STUDENT = "clients_mean/{}/accuracy", "clients_mean/own/accuracy", "student/{}/accuracy"


def main() -> None:
    """Tune, run, print the tables and draw the picture."""
    study = Study("methods", seeds_from_command_line(__doc__))
    methods = federated()
    grid = {_arm(*key): budgeted(*key) for key in itertools.product(methods, [TUNING_ALPHA], FACTORS)}
    tuned = _read(Study("methods", TUNING_SEEDS).run(grid, common=COMMON))
    factors = {
        name: group.groupby("factor")["model/validation"].mean().idxmax()
        for name, group in tuned.groupby("method")
    }
    chosen = [(name, alpha, factors[name]) for alpha in ALPHAS for name in methods]
    frame = _read(study.run({_arm(*key): budgeted(*key) for key in chosen}, common=COMMON))
    runs = {key: group.set_index("seed").sort_index() for key, group in frame.groupby(["method", "alpha"])}
    results = {key: own["model/test"].mean() for key, own in runs.items()}
    known = read_methods()
    public = {name: facts_of(known[_recipe(name)]).public for name in methods}
    order = sorted(methods, key=lambda name: -sum(results[name, alpha] for alpha in ALPHAS))
    study.picture(_picture(order, runs))
    rows = [_row(name, alpha, factors[name], runs, public[name]) for alpha in ALPHAS for name in order]
    claims, verdict = _judge(methods, runs)
    taught = ", ".join(name for name in order if public[name] == "labelled")
    study.show(
        f"All methods on Fashion-MNIST, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        COLUMNS,
        rows,
        f"{verdict} The true labels of the 400 public samples, which others do not see, are learned by {taught}.",
        further=[claims],
        command=f"python -m simulations.methods --seeds {len(study.seeds)}",
    )


def federated() -> list[str]:
    """Return the names of the arms: every recipe but those of central schemes, and what stands beside them."""
    return [*(name for name in recipes("method") if not _central(name)), *VARIANTS]


def _central(name: str) -> bool:
    recipe = yaml.safe_load((recipes_dir() / "method" / f"{name}.yaml").read_text(encoding="utf-8"))
    return name in CENTRAL_METHODS or recipe["strategy"]["name"] in CENTRAL_STRATEGIES


def _arm(name: str, alpha: float, factor: float) -> str:
    return f"{name} {alpha:g} {factor:g}"


def _recipe(name: str) -> str:
    return VARIANTS.get(name, name)


def budgeted(name: str, alpha: float, factor: float) -> list[str]:
    """Return what an arm differs in: its skew, the passes of the budget, and its recipe's learning rates times a factor."""
    recipe = _recipe(name)
    method: dict[str, Any] = compose([f"method={recipe}"])["method"]
    overrides = [f"method={recipe}", f"partition.alpha={alpha}"]
    overrides += [OPTIONS[name]] if name in OPTIONS else []
    overrides += ["rounds=1"] if name in ONE_SHOT else []
    for part, each in PASSES.items():
        passes = each * (ROUNDS if name in ONE_SHOT else 1)
        for stage, plan in (method[part] or {}).items():
            if isinstance(plan, Mapping) and "optimizer" in plan:
                path, rate = f"method.{part}.{stage}", plan["optimizer"]["lr"]
                overrides += [f"{path}.epochs={passes}", f"{path}.optimizer.lr={rate * factor:g}"]
    return overrides


def _read(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what is compared: the accuracy of the model to deploy, traffic in MB, and the names of the arms taken apart."""
    named = frame["arm"].str.split(" ", expand=True)
    added = {"method": named[0], "alpha": named[1].astype(float), "factor": named[2].astype(float)}
    for split in ("validation", "test"):
        added[f"model/{split}"] = frame[STUDENT.format(split)].fillna(frame[CLIENTS.format(split)])
    traffic = (frame["bytes_up"] + frame["bytes_down"] + frame["bytes_once"]) / 1e6
    added |= {"megabytes": traffic, "clients": frame[CLIENTS.format("test")], "own": frame[OWN]}
    return frame.assign(**added)


Runs = Mapping[tuple[str, float], pd.DataFrame]


def _row(name: str, alpha: float, factor: float, runs: Runs, public: str) -> list[str]:
    own, reference = runs[name, alpha], runs[REFERENCE, alpha]
    student = own[STUDENT.format("test")]
    pooled = name == "pooled"
    return [
        f"{alpha:g}",
        name,
        public,
        f"{factor:g}",
        "none" if student.isna().any() else Interval.of(list(student)).percent(),
        "" if pooled else Interval.of(list(own["clients"])).percent(),
        "" if pooled else Interval.of(list(own["own"])).percent(),
        "" if name == REFERENCE else Interval.of(list(own["model/test"] - reference["model/test"])).points(),
        "" if pooled else f"{own['megabytes'].mean():.2f}",
        "" if pooled else _spent(own, TARGET * reference["model/test"].mean()),
        f"{own['seconds'].median():.1f}",
    ]


def _spent(own: pd.DataFrame, target: float) -> str:
    """Return the median MB that runs spent until the deployed model had the target accuracy, over those that came so far."""
    spent = []
    for folder in own["folder"]:
        curve = fedkd.load_runs(folder).query("split == 'test' and metric == 'accuracy'")
        scope = "student" if (curve["scope"] == "student").any() else "clients_mean"
        there = curve[(curve["scope"] == scope) & (curve["value"] >= target)]["round"]
        if len(there):
            ledger = fedkd.load_ledger(folder)
            counted = (ledger["phase"] != "evaluate") & (ledger["round"] <= there.min())
            spent.append(int(ledger.loc[counted, "bytes"].sum()) / 1e6)
    if not spent:
        return "not reached"
    return f"{np.median(spent):.2f} ({len(spent)} of {len(own)} runs)"


def _judge(methods: list[str], runs: Runs) -> tuple[Sheet, str]:
    """Hold every claim against its paired difference at each skew; count the outcomes."""
    rows, outcomes = [], []
    for claim in CLAIMS:
        if claim.method not in methods:
            continue
        column = "model/test" if claim.measure == "model" else claim.measure
        cells = []
        for alpha in ALPHAS:
            gap = Interval.of(list(runs[claim.method, alpha][column] - runs[claim.reference, alpha][column]))
            outcomes.append(claim.outcome(gap))
            said = f"{gap.mean:+.2f} MB" if claim.measure == "megabytes" else f"{gap.points()} points"
            cells.append(f"{outcomes[-1]}: {said}")
        rows.append([f"{claim.method} {claim.sign} {claim.reference}", claim.measure, *cells, claim.source])
    silent = [
        name for name in methods if name not in BESIDE and name not in {claim.method for claim in CLAIMS}
    ]
    silent = [name for name in silent if name != REFERENCE]
    dead = [
        f"{name} (alpha {alpha:g})"
        for (name, alpha), own in runs.items()
        if own["clients_mean/test/dead"].gt(0).any()
    ]
    verdict = (
        f"{len(outcomes)} claims (each method's, at each skew): "
        + ", ".join(f"{word} {outcomes.count(word)}" for word in ("held", "not settled", "reversed"))
        + ". Held or reversed: the whole 95 % interval of the paired difference lies on one side of 0; intervals are not corrected for their number."
        + (f" No claim is written down for {', '.join(silent)}." if silent else "")
        + (
            f" Some client's network was dead at the end in: {', '.join(dead)}."
            if dead
            else " No client's network was dead at the end."
        )
    )
    columns = ["claim", "measure", *(f"alpha {alpha:g}" for alpha in ALPHAS), "where it comes from"]
    return Sheet("What papers claim, as a sign", columns, rows), verdict


def _picture(order: list[str], runs: Runs) -> Figure:
    """Draw accuracy with intervals at both skews, and traffic, a line for each method; the best on top."""
    figure = Figure(figsize=(11, 0.32 * len(order) + 1.4), layout="constrained")
    panels = figure.subplots(1, len(ALPHAS) + 1, sharey=True)
    for axes, alpha in zip(panels, ALPHAS, strict=False):
        axes.axvline(
            100 * runs[REFERENCE, alpha]["model/test"].mean(), color="grey", linewidth=1, linestyle="--"
        )
        for height, name in enumerate(reversed(order)):
            own = runs[name, alpha]
            gap = Interval.of(list(100 * own["model/test"]))
            served = own[STUDENT.format("test")].notna().all()
            axes.errorbar(
                [gap.mean], [height], xerr=[[gap.mean - gap.low], [gap.high - gap.mean]], fmt="o", capsize=3,
                color="C7" if name in BESIDE else "C0", markerfacecolor=None if served else "white",
            )  # fmt: skip
        axes.set(xlabel="test accuracy, %", title=f"Dirichlet {alpha:g}")
    traffic = [(name, runs[name, ALPHAS[0]]["megabytes"].mean()) for name in order]
    for height, (name, spent) in enumerate(reversed(traffic)):
        if name not in {"pooled", "local"}:  # nothing crosses, or everything did before
            panels[-1].plot([spent], [height], "o", color="C7" if name in BESIDE else "C0")
    panels[-1].set(xscale="log", xlabel="traffic of all rounds, MB", title="Bytes")
    panels[-1].xaxis.set_minor_formatter(NullFormatter())
    panels[0].set_yticks(range(len(order)), list(reversed(order)))
    for axes in panels:
        axes.grid(visible=True, alpha=0.3)
    figure.supxlabel(
        "Dots: mean of paired seeds with 95 % interval; open: no student, the clients' mean. Grey: references. Dashed: FedAvg.",
        fontsize=8,
    )
    return figure


if __name__ == "__main__":
    main()
