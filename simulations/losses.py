"""Losses: what each term of an objective adds to a student that learns the teachers' soft answers anyway.

FedDF in one round on Fashion-MNIST, five clients, Dirichlet 1: the average of their networks learns 500 public samples by KL divergence (`kd` at
temperature 1) alone, or with one further term. Layers are those of the clients' networks. Of two weights of a term the one is taken that is better on
validation data with the first two seeds: literature has weights for other data only, so these are round numbers at which the term's gradient at the
first step is about a third of that of `kd`, and about three times it. `kd` added to itself shows that a larger loss changes nothing under Adam; what
choosing between two weights gains by chance is not measured.
Rankings (`rd`, `rrd`) take classes for items, as there is no data set of rankings yet.

Numbers: `bounded_regression` and `attentive_imitation` on diamonds, whose public samples have true prices, against the squared error to the teachers.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from simulations.study import Interval, Study, seeds_from_command_line

FEDDF = [
    "method=feddf", "clients=5", "rounds=1", "runtime=inline", "threads=1", "partition=dirichlet", "partition.alpha=1.0", "proxy.size=500",
    "method.distiller.patience=null",
]  # fmt: skip
IMAGES = [
    *FEDDF, "data=fashion_mnist", "data.samples=3000", "data.validation=0.03", "data.test_samples=2000", "model=lenet", "model.channels=[4,8]",
    "model.kernel=3", "model.hidden=32", "method.client.fit.epochs=4", "method.client.fit.optimizer={name:adam,lr:0.003}",
    "method.distiller.fit.epochs=6",
]  # fmt: skip
PRICES = [
    *FEDDF, "data=diamonds", "data.samples=2000", "data.test_samples=2000", "model=mlp", "method.client.fit.epochs=4",
    "method.client.fit.optimizer={name:adam,lr:0.003}",
]  # fmt: skip
KD = "{name:kd,temperature:1}"
MAPS, HIDDEN = (f"student_layer:{layer},teacher_layer:{layer}" for layer in ("body.3", "features"))
TERMS = {
    "answers": {
        "kd": ("temperature:1", 1.0),
        "supervised": ("", 0.3),
        "divergence": ("measure:mae", 0.3),
        "dkd": ("", 0.1),
        "dist": ("", 0.3),
        "jsd": ("", 3.0),
        "rd": ("", 10.0),
        "rrd": ("", 0.1),
    },
    "features": {
        "hint": (MAPS, 1.0),
        "at": (MAPS, 300.0),
        "nst": (MAPS, 3.0),
        "fsp": ("student_layers:[body.0,body.3],teacher_layers:[body.0,body.3]", 30.0),
        "factor_transfer": (MAPS, 10.0),
        "activation_boundary": (MAPS, 0.1),
    },
    "relations": {
        "sp": (HIDDEN, 100.0),
        "cc": (HIDDEN, 0.03),
        "cckd": (HIDDEN, 10.0),
        "rkd_distance": (HIDDEN, 10.0),
        "rkd_angle": (HIDDEN, 10.0),
        "darkrank": (HIDDEN, 0.03),
        "irg": ("student_layers:[body.7,features],teacher_layers:[body.7,features]", 1.0),
        "lsp": (HIDDEN, 300.0),
    },
    "information": {"vid": (MAPS, 100.0), "crd": (HIDDEN, 0.3), "mimkd": (MAPS, 30.0), "pkt": (HIDDEN, 1000.0)},
}  # fmt: skip
NUMBERS = {
    "squared error and labels": {
        f"weight {weight:g}": f"{{name:divergence}},{{name:supervised,labels:proxy,weight:{weight:g}}}" for weight in (0.3, 3.0)
    },
    "bounded_regression": {f"nu {nu:g}": f"{{name:bounded_regression,nu:{nu:g}}}" for nu in (0.5, 2.0)},
    "attentive_imitation": {f"alpha {share:g}": f"{{name:attentive_imitation,alpha:{share:g}}}" for share in (0.2, 0.5)},
}  # fmt: skip
FACTORS = (0.3, 3.0)
ALONE = "kd alone"
ACCURACY, R2 = "student/{}/accuracy", "student/{}/r2"
COLUMNS = ["learned from", "term", "chosen by validation", "student", "difference"]


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("losses", seeds_from_command_line(__doc__))
    base = study.run({ALONE: [_terms(KD)]}, common=IMAGES).set_index("seed").sort_index()
    alone, ensemble = base[ACCURACY.format("test")], base["ensemble_uniform/test/accuracy"]
    rows, gaps = [["answers", ALONE, "", Interval.of(list(alone)).percent(), ""]], dict[str, Interval]()
    for family, terms in TERMS.items():
        for name, (options, weight) in terms.items():
            objectives = {
                f"weight {weight * factor:g}": f"{KD},{_spec(name, options, weight * factor)}"
                for factor in FACTORS
            }
            chosen, runs = _best(study, name, objectives, IMAGES, ACCURACY)
            accuracy = runs[ACCURACY.format("test")]
            gaps[name] = Interval.of(list(accuracy - alone))
            rows.append([family, name, chosen, Interval.of(list(accuracy)).percent(), gaps[name].points()])
    prices = _prices(study, rows)
    study.picture(_picture(gaps))
    study.show(
        f"What a further term does to FedDF's student, {len(study.seeds)} paired seeds: Fashion-MNIST, test accuracy in % and difference to `kd` alone in "
        "points; diamonds, R^2 in % and difference to the squared error to the teachers in points [95 % interval]",
        COLUMNS,
        rows,
        _verdict(gaps, prices, ensemble=Interval.of(list(ensemble))),
    )


def _prices(study: Study, rows: list[list[str]]) -> Mapping[str, Interval]:
    """Run the terms on numbers, and add their rows."""
    alone = (
        study.run({"teachers alone": [_terms("{name:divergence}")]}, common=PRICES)
        .set_index("seed")
        .sort_index()
    )
    scores = alone[R2.format("test")]
    rows.append(["numbers", "squared error alone", "", Interval.of(list(scores)).percent(), ""])
    gaps = {}
    for name, objectives in NUMBERS.items():
        chosen, runs = _best(study, name, objectives, PRICES, R2)
        found = runs[R2.format("test")]
        gaps[name] = Interval.of(list(found - scores))
        rows.append(["numbers", name, chosen, Interval.of(list(found)).percent(), gaps[name].points()])
    return gaps


def _best(
    study: Study, name: str, objectives: Mapping[str, str], common: Sequence[str], score: str
) -> tuple[str, pd.DataFrame]:
    """Return what is best on validation data over the first two seeds, and its runs with all seeds."""
    arms = {choice: {f"{name} {choice}": [_terms(terms)]} for choice, terms in objectives.items()}
    few = Study(study.name, study.seeds[:2])
    best = max(
        arms, key=lambda choice: few.run(arms[choice], common=common)[score.format("validation")].mean()
    )
    return best, study.run(arms[best], common=common).set_index("seed").sort_index()


def _terms(specs: str) -> str:
    return f"method.distiller.terms=[{specs}]"


def _spec(name: str, options: str, weight: float) -> str:
    return f"{{name:{name},weight:{weight:g}{',' if options else ''}{options}}}"


def _verdict(gaps: Mapping[str, Interval], prices: Mapping[str, Interval], *, ensemble: Interval) -> str:
    better = [name for name, gap in gaps.items() if gap.low > 0]
    worse = [name for name, gap in gaps.items() if gap.high < 0]
    return (
        f"Of {len(gaps)} terms beside `kd`, better than `kd` alone: {_names(better)}; worse: {_names(worse)}; for the other "
        f"{len(gaps) - len(better) - len(worse)} the interval holds 0. Where each of so many intervals has its chance of 5 %, "
        f"one of {len(gaps)} may well miss 0 by chance. `kd` twice, a larger loss of the same form: {gaps['kd'].points()} points. Hard pseudo-labels beside `kd` (`supervised`): "
        f"{gaps['supervised'].points()} points. The ensemble that all learn from reaches {ensemble.percent()} %. On numbers, better than "
        f"the teachers alone: {_names([name for name, gap in prices.items() if gap.low > 0])}; of these `squared error and labels` shows what true numbers bring by "
        "plain losses."
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _picture(gaps: Mapping[str, Interval]) -> Figure:
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.0, color="grey", linewidth=1)
    names = [name for terms in TERMS.values() for name in terms][::-1]
    for number, (family, terms) in enumerate(TERMS.items()):
        own = [gaps[name] for name in terms]
        means = [100 * gap.mean for gap in own]
        ends = [[100 * (gap.mean - gap.low) for gap in own], [100 * (gap.high - gap.mean) for gap in own]]
        places = [names.index(name) for name in terms]
        axes.errorbar(
            means, places, xerr=ends, fmt="osD^"[number], color=f"C{number}", capsize=3, label=family
        )
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=f"accuracy of the student minus {ALONE}, points")
    axes.grid(visible=True, axis="x", alpha=0.3)
    figure.legend(loc="outside right upper", title="learned from")
    return figure


if __name__ == "__main__":
    main()
