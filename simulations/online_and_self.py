"""Online and self-distillation: a network that learns from its peers, its own exits or its own past beats the same one without.

Fashion-MNIST, one client with 2,000 samples, a round is one pass over them. Each method's control is the same network under the same
training with the weight of distillation at 0, seeds paired. The strength of distillation is chosen among three on validation data.
"""

from matplotlib.figure import Figure

from simulations.study import Interval, Study, choose, seeds_from_command_line

COMMON = [
    "data=fashion_mnist", "data.samples=2000", "data.test_samples=5000", "partition=iid", "proxy=none", "clients=1", "rounds=30",
    "evaluate_every=30", "runtime=inline", "threads=1", "method.client.fit.epochs=1",
]  # fmt: skip
PEERS = ["model=peers", "model.of=[{name: mlp, hidden: [128]}, {name: mlp, hidden: [128]}]"]
BRANCHES = ["model=branches", "model.trunk=[128]", "model.branch=[128]"]
COLLABORATING = ["model=peer_branches", "model.trunk=[128]", "model.branch=[128]"]
EXITS = ["model=early_exits", "model.hidden=[128, 128, 128]"]
PLAIN = ["model=mlp", "model.hidden=[128, 128]"]
METHODS = {
    "DML": (["method=dml", *PEERS], "method.client.weight", (0.3, 1.0, 3.0)),
    "KDCL": (["method=kdcl", *PEERS], "method.client.weight", (0.1, 0.3, 1.0)),
    "KDCL, linear": (
        ["method=kdcl", "method.client.rule=linear", *PEERS],
        "method.client.weight",
        (0.1, 0.3, 1.0),
    ),
    "KDCL, general": (
        ["method=kdcl", "method.client.rule=general", *PEERS],
        "method.client.weight",
        (0.1, 0.3, 1.0),
    ),
    "ONE": (["method=one", *BRANCHES], "method.client.weight", (0.1, 0.3, 1.0)),
    "PCL": (["method=pcl", "method.client.ramp=8", *COLLABORATING], "method.client.weight", (0.1, 0.3, 1.0)),
    "BYOT": (["method=byot", "method.client.hint=0", *EXITS], "method.client.alpha", (0.1, 0.3, 0.6)),
    "Tf-KD": (["method=tf_kd", *PLAIN], "method.client.alpha", (0.1, 0.5, 0.9)),
    "PS-KD": (["method=ps_kd", "method.client.growth=30", *PLAIN], "method.client.alpha", (0.3, 0.6, 0.8)),
}
CHOICE, REPORT = "student/validation/accuracy", "student/test/accuracy"


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("online_and_self", seeds_from_command_line(__doc__))
    rows, gains = [], {}
    for name, (own, option, strengths) in METHODS.items():
        control = study.run({f"{name} control": [*own, f"{option}=0"]}, common=COMMON)
        frame = study.run({name: own}, common=COMMON, grid=[f"{option}={strength}" for strength in strengths])
        best = choose(frame, name, CHOICE)
        plain = control.set_index("seed").sort_index()[REPORT]
        gains[name] = Interval.of(list(best[REPORT] - plain))
        strength = strengths[int(best["point"].iloc[0])]
        rows.append(
            [
                name,
                f"{option.rpartition('.')[2]} = {strength}",
                Interval.of(list(plain)).percent(),
                Interval.of(list(best[REPORT])).percent(),
                gains[name].points(),
            ]
        )
    held = [name for name, gain in gains.items() if gain.low > 0]
    reversed_ = [name for name, gain in gains.items() if gain.high < 0]
    open_ = [name for name in gains if name not in held and name not in reversed_]
    said = [
        f"{words}: {'; '.join(names)}."
        for words, names in (
            ("Better than its control", held),
            ("Not settled", open_),
            ("Worse than its control", reversed_),
        )
        if names
    ]
    study.picture(_picture(gains))
    study.show(
        f"Online and self-distillation on Fashion-MNIST, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["method", "chosen", "control", "method's", "gain, points"],
        rows,
        " ".join(said),
    )


def _picture(gains: dict[str, Interval]) -> Figure:
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.0, color="grey", linewidth=1)
    for place, gain in enumerate(gains.values()):
        mean = 100 * gain.mean
        axes.errorbar(
            [mean],
            [place],
            xerr=[[mean - 100 * gain.low], [100 * gain.high - mean]],
            fmt="o",
            capsize=3,
            color="C0",
        )
    axes.set_yticks(range(len(gains)), list(gains))
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy minus that of the control, points")
    axes.grid(visible=True, alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
