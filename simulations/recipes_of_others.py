"""What mistakes of widely copied implementations do to the ranking of five methods (`mistakes.py` holds them).

Fashion-MNIST, 10 clients, Dirichlet 0.3. Each method that a mistake can be made in is run with it, all else alike: the learning rate is
the one that validation data chose for the right form. FD and FedMD have no global model: their clients are measured on the
global test data, on average. A temperature is used by none of the recipes; a one-sided one is compared with a temperature of
3 on both sides. The choice of the best round and learning rate by test data, seed by seed, is read off the right runs, against
the same choice by validation data. Probabilities cross in DS-FL, so it cannot take raw logits for targets. Adam, which trains with the
teachers in all but FD, does not care what a loss is divided by.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from fedkd.foundation.run_folder import METRICS
from simulations.study import Interval, Study, choose, seeds_from_command_line, slug

COMMON = [
    "data=fashion_mnist", "data.samples=2500", "data.test_samples=2000", "data.validation=0.025", "partition=dirichlet", "partition.alpha=0.3", "proxy.size=500",
    "model=mlp", "clients=10", "rounds=5", "runtime=inline", "threads=1", "method.client.fit.epochs=3",
]  # fmt: skip
DIGEST = "method.client.digest.epochs=3"
METHODS = {
    "FD": ["method=fd", "method.client.gamma=1.0"],
    "FedMD": ["method=fedmd", "method.distiller=null", DIGEST],
    "DS-FL": ["method=dsfl", DIGEST, "method.distiller.fit.epochs=3"],
    "FedDF": ["method=feddf", "method.distiller.fit.epochs=3"],
    "FedAvg": ["method=fedavg"],
}
SCOPES = {"FD": "clients_mean", "FedMD": "clients_mean", "DS-FL": "student", "FedDF": "student", "FedAvg": "student"}  # fmt: skip
SGD = [f"method.client.fit.optimizer.lr={rate}" for rate in (0.02, 0.05)]
ADAM = [
    f"method.client.fit.optimizer.lr={rate} method.client.digest.optimizer.lr={rate}"
    for rate in (0.001, 0.003)
]
GRIDS = {"FD": SGD, "FedMD": ADAM, "DS-FL": ADAM, "FedDF": SGD, "FedAvg": SGD}
PARTS = "simulations.mistakes"


def _at_server(part: str) -> list[str]:
    return [f'method.distiller.terms=[{{name: "{PARTS}:{part}"}}]']


def _at_clients(part: str) -> list[str]:
    return [f'method.client.terms=[{{name: "{PARTS}:{part}"}}]', "method.client.divergence=task"]


def _in_fd(mistake: str) -> list[str]:
    return [
        f"method.client.name={PARTS}:WrongFD",
        "method.client.gamma=1.0",
        f"method.client.mistake={mistake}",
    ]


SOFT = {
    "FD": ["method.client.temperature=3.0"],
    "DS-FL": ["method.client.temperature=3.0", "method.distiller.temperature=3.0"],
    "FedDF": ["method.distiller.temperature=3.0"],
}
"""The right form with a temperature on both sides."""
MISTAKES: Mapping[str, Mapping[str, list[str]]] = {
    "raw logits as targets": {
        "FD": _in_fd("raw_logits"),
        "FedMD": _at_clients("RawLogits"),
        "FedDF": _at_server("RawLogits"),
    },
    "KL divided by C": {
        "FD": _in_fd("element_mean"),
        "DS-FL": _at_clients("ElementMean") + _at_server("ElementMean"),
        "FedDF": _at_server("ElementMean"),
    },
    "KL reversed": {
        "FD": _in_fd("reversed"),
        "DS-FL": _at_clients("ReversedKL") + _at_server("ReversedKL"),
        "FedDF": _at_server("ReversedKL"),
    },
    "absent classes as zeros": {"FD": [f"method.strategy={PARTS}:ZerosForAbsent"]},
    "temperature on one side": {
        "FD": [*_in_fd("one_sided"), "method.client.temperature=3.0"],
        "DS-FL": _at_clients("OneSided") + _at_server("OneSided"),
        "FedDF": _at_server("OneSided"),
    },
}
SOFTENED = "temperature on one side"
BY_TEST = "chosen by test data"
Accuracies = dict[str, "pd.Series[float]"]


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("recipes_of_others", seeds_from_command_line(__doc__))
    found = {name: _right(study, name) for name in METHODS}
    right = {name: accuracy for name, (accuracy, _) in found.items()}
    rates = {name: rate for name, (_, rate) in found.items()}
    soft = {
        **right,
        **{name: _other(study, name, "T=3", own, rates[name])["accuracy"] for name, own in SOFT.items()},
    }
    befores, afters, dead = dict[str, Accuracies](), dict[str, Accuracies](), dict[str, int]()
    for mistake, applied in MISTAKES.items():
        befores[mistake] = soft if mistake == SOFTENED else right
        wrong = {name: _other(study, name, mistake, own, rates[name]) for name, own in applied.items()}
        afters[mistake] = {**befores[mistake], **{name: runs["accuracy"] for name, runs in wrong.items()}}
        dead |= {
            f"{name} with {mistake}": int(runs["clients_mean/test/dead"].sum())
            for name, runs in wrong.items()
        }
    chosen = {name: _chosen(study, name) for name in METHODS}
    befores[BY_TEST] = {name: table["validation"] for name, table in chosen.items()}
    afters[BY_TEST] = {name: table["test"] for name, table in chosen.items()}
    changes = {
        mistake: {
            name: Interval.of(list(after[name] - befores[mistake][name]))
            for name in METHODS
            if after[name] is not befores[mistake][name]
        }
        for mistake, after in afters.items()
    }
    study.picture(_picture(changes))
    columns = ["", *METHODS, "ranking", "Kendall's tau"]
    rows = [
        _right_row("right", right, right, METHODS),
        _right_row("right, T = 3", right, soft, SOFT),
        _right_row("right, best round by validation", right, befores[BY_TEST], METHODS),
    ]
    rows += [
        [
            mistake,
            *(own[name].points() if name in own else "" for name in METHODS),
            _words(afters[mistake]),
            _tau(befores[mistake], afters[mistake]),
        ]
        for mistake, own in changes.items()
    ]
    study.show(
        f"Mistakes of others: accuracy of the right form in %, change by each mistake in points, {len(study.seeds)} paired seeds [95 % interval]",
        columns,
        rows,
        _verdict(changes, befores, afters) + _dead(dead, 10 * len(study.seeds)),
    )


def _right_row(label: str, right: Accuracies, form: Accuracies, shown: Collection[str]) -> list[str]:
    cells = [Interval.of(list(form[name])).percent() if name in shown else "" for name in METHODS]
    return [label, *cells, _words(form), "" if form is right else _tau(right, form)]


def _right(study: Study, method: str) -> tuple["pd.Series[float]", str]:
    """Return the test accuracy of each seed in the last round, and the learning rate, which is the best on validation data."""
    arm, grid = f"{method} right", GRIDS[method]
    frame = study.run({arm: METHODS[method]}, common=COMMON, grid=grid)
    runs = choose(frame, arm, f"{SCOPES[method]}/validation/accuracy")
    return runs[f"{SCOPES[method]}/test/accuracy"], grid[int(runs["point"].iloc[0])]


def _other(study: Study, method: str, form: str, own: list[str], rate: str) -> pd.DataFrame:
    """Return the runs of another form of a method by seed, with the test accuracy of what it delivers as `accuracy`."""
    arm = f"{method} {form}"
    frame = study.run({arm: [*METHODS[method], *own]}, common=COMMON, grid=[rate])
    runs = frame.set_index("seed").sort_index()
    return runs.assign(accuracy=runs[f"{SCOPES[method]}/test/accuracy"])


def _chosen(study: Study, method: str) -> pd.DataFrame:
    """Return for each seed the test accuracy at the round and learning rate that are best by validation data, and by test data."""
    found = {}
    for seed in study.seeds:
        rows = pd.concat(
            pd.read_json(study.folder / slug(f"{method} right") / str(point) / str(seed) / METRICS, lines=True).assign(point=point)
            for point in range(len(GRIDS[method]))
        )  # fmt: skip
        own = rows[(rows["scope"] == SCOPES[method]) & (rows["metric"] == "accuracy")]
        table = own.pivot_table(index=["point", "round"], columns="split", values="value")
        found[seed] = {
            "validation": table.loc[table["validation"].idxmax(), "test"],
            "test": table["test"].max(),
        }
    return pd.DataFrame.from_dict(found, orient="index")


def _order(accuracies: Accuracies) -> list[str]:
    return sorted(METHODS, key=lambda name: -accuracies[name].mean())


def _words(accuracies: Accuracies) -> str:
    return " > ".join(_order(accuracies))


def _tau(before: Accuracies, after: Accuracies) -> str:
    first, second = ([side[name].mean() for name in METHODS] for side in (before, after))
    return f"{stats.kendalltau(first, second).statistic:+.1f}"


def _swaps(before: Accuracies, after: Accuracies) -> list[tuple[str, str, bool]]:
    """Return each pair that changed its order, the one that is now ahead first, and whether both orders are certain."""
    old, new = _order(before), _order(after)
    swapped = []
    for place, ahead in enumerate(new):
        for behind in new[place + 1 :]:
            if old.index(ahead) > old.index(behind):
                gaps = [Interval.of(list(side[ahead] - side[behind])) for side in (before, after)]
                swapped.append((ahead, behind, gaps[0].high < 0 < gaps[1].low))
    return swapped


def _verdict(
    changes: Mapping[str, Mapping[str, Interval]],
    befores: Mapping[str, Accuracies],
    afters: Mapping[str, Accuracies],
) -> str:
    said = []
    for mistake, own in changes.items():
        certain = [f"{name} {gap.points()}" for name, gap in own.items() if gap.excludes_zero]
        swaps = [
            f"{ahead} before {behind} ({'certain' if sure else 'not certain'})"
            for ahead, behind, sure in _swaps(befores[mistake], afters[mistake])
        ]
        effect = f"changed {', '.join(certain)}" if certain else "changed nothing for certain"
        said.append(f"{mistake}: {effect}, ranking: {', '.join(swaps) or 'the same'}")
    return (
        "What each mistake changed, where the interval excludes 0, and which pairs changed their order (certain: the interval of "
        "their difference excludes 0 before and after). A choice by test data can only raise. "
        + "; ".join(f"({number}) {one}" for number, one in enumerate(said, 1))
        + "."
    )


def _dead(dead: Mapping[str, int], clients: int) -> str:
    """Say where clients ended with a network that gives every sample the same answer; they are in the figures above."""
    said = [f"{count} of {clients} in {form}" for form, count in dead.items() if count]
    return f" Dead networks of clients in the last round, counted as they are: {', '.join(said) or 'none'}."


def _picture(changes: Mapping[str, Mapping[str, Interval]]) -> Figure:
    figure = Figure(figsize=(8.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.0, color="grey", linewidth=1)
    for number, method in enumerate(METHODS):
        places = [place for place, own in enumerate(changes.values()) if method in own]
        gaps = [own[method] for own in changes.values() if method in own]
        means = 100 * np.array([gap.mean for gap in gaps])
        ends = 100 * np.array([[gap.mean - gap.low for gap in gaps], [gap.high - gap.mean for gap in gaps]])
        heights = np.array(places) + 0.15 * (number - 2)
        axes.errorbar(
            means, heights, xerr=ends, fmt="os^Dv"[number], capsize=3, color=f"C{number}", label=method
        )
    axes.set_yticks(range(len(changes)), list(changes))
    axes.invert_yaxis()
    axes.set(xlabel="change of test accuracy by the mistake, points")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure


if __name__ == "__main__":
    main()
