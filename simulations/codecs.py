"""Codecs: how many bytes an accuracy costs. CFD's claim: knowledge can be sent in a hundredth of the bytes without loss.

DS-FL on Fashion-MNIST, 10 clients, Dirichlet 0.3, 1,000 public samples; the same rounds under every codec, which serves both
directions. Float32 is the reference, and differences of exact numbers must reproduce it to the bit. Learning rates are those
of the recipe: nothing is chosen, so that codecs differ in nothing else.
"""

from matplotlib.figure import Figure

from simulations.study import Interval, Study, seeds_from_command_line

COMMON = [
    "method=dsfl", "data=fashion_mnist", "data.samples=4000", "data.test_samples=2000", "partition=dirichlet",
    "partition.alpha=0.3", "proxy.size=1000", "proxy.labelled=false", "model=mlp", "clients=10", "rounds=8", "evaluate_every=8",
    "runtime=inline", "method.client.fit.epochs=3", "method.client.digest.epochs=3", "method.distiller.fit.epochs=3",
]  # fmt: skip
VOTES = "{name: constrained, bits: 1, layout: classes}"
CODECS = {
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "int8": "int8",
    "top 3": "{name: top_k, k: 3}",
    "top 1": "{name: top_k, k: 1}",
    "8 bits": "{name: constrained, bits: 8}",
    "4 bits": "{name: constrained, bits: 4}",
    "1 bit": "{name: constrained, bits: 1}",
    "delta": "delta",
    "int8, coded": "{name: entropy, of: int8}",
    "4 bits, coded": "{name: entropy, of: {name: constrained, bits: 4}}",
    "delta 0.05 of int8": "{name: delta, of: int8, tolerance: 0.05}",
    "votes, delta, coded": "{name: entropy, of: {name: delta, of: " + VOTES + "}}",
}
REFERENCE, EXACT = "float32", "delta"


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("codecs", seeds_from_command_line(__doc__))
    frame = study.run({name: [f"method.codec={spec}"] for name, spec in CODECS.items()}, common=COMMON)
    runs = {name: frame[frame["arm"] == name].set_index("seed").sort_index() for name in CODECS}
    reference = runs[REFERENCE]
    exact = runs[EXACT]["student/test/accuracy"]
    if not exact.equals(reference["student/test/accuracy"]):
        raise AssertionError("differences of exact numbers gave another accuracy than the numbers themselves")
    rows, drawn, unharmed = [], [], dict[str, float]()
    for name, own in runs.items():
        accuracy = own["student/test/accuracy"]
        gap = Interval.of(list(accuracy - reference["student/test/accuracy"]))
        up, down = own["payload_up"].mean(), own["payload_down"].mean()
        saved = (reference["payload_up"] + reference["payload_down"]).mean() / (up + down)
        if gap.high >= 0:
            unharmed[name] = saved
        drawn.append((name, (up + down) / 1e6, gap))
        rows.append(
            [
                name,
                f"{up / 1e3:,.1f}",
                f"{down / 1e3:,.1f}",
                f"{saved:.1f}",
                Interval.of(list(accuracy)).percent(),
                gap.points() if name != REFERENCE else "",
            ]
        )
    study.picture(_picture(drawn))
    best = max(unharmed, key=unharmed.__getitem__)
    study.show(
        f"Accuracy and bytes of DS-FL by codec, {len(study.seeds)} paired seeds, test accuracy of the student in % [95 % interval]",
        ["codec", "up, kB", "down, kB", "times fewer bytes", "student", "minus float32, points"],
        rows,
        f"Of the codecs whose interval reaches 0, the smallest is `{best}`: {unharmed[best]:.0f} times fewer bytes than float32. "
        "Delta of float32 gave the accuracies of float32 exactly.",
    )


def _picture(drawn: list[tuple[str, float, Interval]]) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0.0, color="grey", linewidth=1)
    for number, (name, megabytes, gap) in enumerate(sorted(drawn, key=lambda row: row[1])):
        mean = 100 * gap.mean
        ends = [[mean - 100 * gap.low], [100 * gap.high - mean]]
        marker = "osD^vPX"[number % 7]
        axes.errorbar(
            [megabytes], [mean], yerr=ends, fmt=marker, capsize=3, color=f"C{number % 10}", label=name
        )
    axes.set(
        xscale="log",
        xlabel="payload of all rounds, both directions, MB",
        ylabel=f"accuracy of the student minus {REFERENCE}, points",
    )
    axes.margins(x=0.08, y=0.1)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8, title="fewest bytes first", title_fontsize=8)
    return figure


if __name__ == "__main__":
    main()
