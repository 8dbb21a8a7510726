"""Born-again networks: students of their own size, generation by generation, beat their teacher; all of them together beat each.

Furlanello et al., "Born Again Neural Networks" (ICML 2018). Fashion-MNIST, 2,000 samples, one network that is taught by the generation
before it on the samples of that one; the first teacher trains as its students do. The control is the same chain with the whole weight on the
labels: as many networks, from the same initial weights, in the same batches, none taught. Seeds are paired; the share of the labels is the
recipe's, which is the paper's, and nothing is chosen.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

import fedkd
from fedkd.assembly.build import load
from fedkd.assembly.experiment import Experiment
from fedkd.engine.beginning import MODEL
from fedkd.foundation.run_folder import RunFolder
from fedkd.models.base import Signature, predict
from fedkd.runtime.flower_internals import deserialise
from simulations.study import Interval, Sheet, Study, seeds_from_command_line

GENERATIONS = 4
FIT = "{epochs: 30, batch_size: 32, optimizer: {name: adam, lr: 0.002}, schedule: cosine}"
COMMON = [
    "method=ban", "data=fashion_mnist", "data.samples=2000", "data.test_samples=5000", f"rounds={GENERATIONS}", "model.hidden=[128, 128]",
    f"method.client.fit={FIT}", f"method.distiller.fit={FIT}", "runtime=inline", "threads=1",
]  # fmt: skip
ARMS = {"taught": [], "on labels": ["method.distiller.label_weight=1"]}
TEACHER, STUDENT, TOGETHER = "clients_mean", "student", "generations"


def main() -> None:
    """Run the study, print its tables and draw the generations."""
    study = Study("born_again", seeds_from_command_line(__doc__))
    frame = study.run(ARMS, common=COMMON)
    own = {arm: by_generation(frame, arm, STUDENT) for arm in ARMS}
    together = {arm: by_generation(frame, arm, TOGETHER) for arm in ARMS}
    teacher = by_generation(frame, "taught", TEACHER)[GENERATIONS]
    rows = [
        [
            f"generation {one}",
            Interval.of(list(own["taught"][one])).percent(),
            Interval.of(list(own["on labels"][one])).percent(),
            Interval.of(list(own["taught"][one] - own["on labels"][one])).points(),
            Interval.of(list(own["taught"][one] - teacher)).points(),
        ]
        for one in range(1, GENERATIONS + 1)
    ]
    several = [
        [
            f"first {one}",
            Interval.of(list(together["taught"][one])).percent(),
            Interval.of(list(together["on labels"][one])).percent(),
            Interval.of(list(together["taught"][one] - together["on labels"][one])).points(),
            Interval.of(list(together["taught"][one] - own["taught"][one])).points(),
        ]
        for one in range(2, GENERATIONS + 1)
    ]
    sure = Interval.of([certainty(folder) for folder in frame[frame["arm"] == "taught"]["folder"]])
    last = GENERATIONS
    claims = {
        "The last generation against its teacher": own["taught"][last] - teacher,
        "The last generation against the same chain on labels": own["taught"][last] - own["on labels"][last],
        "All generations together against the last": together["taught"][last] - own["taught"][last],
        "All generations together against as many networks on labels": together["taught"][last]
        - together["on labels"][last],
    }
    study.picture(
        _picture({**own, **{f"{arm}, together": found for arm, found in together.items()}}, teacher)
    )
    study.show(
        f"Born-again networks on Fashion-MNIST, {len(study.seeds)} paired seeds, test accuracy in % [95 % interval]",
        ["student", "taught", "on labels", "gain, points", "minus the first teacher, points"],
        [["the first teacher", Interval.of(list(teacher)).percent(), "", "", ""], *rows],
        " ".join(f"{name}: {_word(Interval.of(list(gain)))}." for name, gain in claims.items())
        + f" The first teacher gives the labels of the samples that its students learn from {sure.percent()} % on average, "
        "so that its answers are near them.",
        further=[
            Sheet(
                "Generations together (the mean of their probabilities)",
                ["generations", "taught", "on labels", "gain, points", "minus the last of them, points"],
                several,
            )
        ],
    )


def by_generation(frame: pd.DataFrame, arm: str, scope: str) -> pd.DataFrame:
    """Return the test accuracy of a scope after each round, [seeds, rounds], of the runs of an arm."""
    rows = {}
    for _, run in frame[frame["arm"] == arm].iterrows():
        scores = fedkd.load_runs(str(run["folder"]))
        scores = scores[
            (scores["scope"] == scope) & (scores["split"] == "test") & (scores["metric"] == "accuracy")
        ]
        rows[run["seed"]] = scores.set_index(scores["round"].astype(int))["value"]
    return pd.DataFrame.from_dict(rows, orient="index").sort_index()


def certainty(folder: Path) -> float:
    """Return the probability that the first teacher of a run gives to the labels of the samples that it and its students learn from, on average."""
    opened = RunFolder.open(folder)
    experiment = Experiment.from_config(opened.config())
    train = load(experiment).train
    checkpoint = opened.load_checkpoint()
    assert checkpoint is not None
    network = experiment.model.build(Signature.of(experiment.data))
    network.load_state_dict(deserialise(checkpoint.clients[0]).array_records[MODEL].to_torch_state_dict())
    probabilities = predict(network, train.inputs).softmax(dim=-1)
    return float(probabilities.gather(1, train.targets[:, None]).mean())


def _word(gain: Interval) -> str:
    return "better" if gain.low > 0 else "worse" if gain.high < 0 else "not settled"


def _picture(curves: Mapping[str, pd.DataFrame], teacher: "pd.Series[float]") -> Figure:
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(100 * float(teacher.mean()), color="grey", linewidth=1, label="the first teacher")
    for place, (name, found) in enumerate(curves.items()):
        rounds = range(1, GENERATIONS + 1)
        each = [Interval.of(list(found[one])) for one in rounds]
        axes.errorbar(
            [one + 0.06 * (place - 1.5) for one in rounds],
            [100 * one.mean for one in each],
            yerr=[
                [100 * (one.mean - one.low) for one in each],
                [100 * (one.high - one.mean) for one in each],
            ],
            marker="o",
            capsize=3,
            linestyle="--" if "together" in name else "-",
            color="C1" if "labels" in name else "C0",
            label=name,
        )
    axes.set_xticks(range(1, GENERATIONS + 1))
    axes.set_xlabel("generation")
    axes.set_ylabel("test accuracy, %")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


if __name__ == "__main__":
    main()
