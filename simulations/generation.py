"""Text: what federated distillation gains on Shakespeare by speaker, and whether whole continuations teach more than single symbols.

First part, Shakespeare: four roles, each a client, and the King James Bible as public text; a small GRU, the same local training for all, and some of it with
a small transformer once more.
Claims: averaging and distilling beat training alone; FedDF's students gain on FedAvg's; FedMD's clients gain by the exchange, against the same
clients that have read the public text and exchange nothing. Measured in bits per character on roles that nobody trained on too.

Second part, a toy grammar (a string backwards): a student learns from one teacher on prompts that have no labels. Claim (Kim & Rush, 2016): whole
continuations that a beam search finds (sequence level) are better targets than distributions symbol by symbol on the true text (word level).
Controls: the symbols that the teacher names (word level, hard), and the true continuations of the same prompts, without any teacher.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from simulations.study import Interval, Sheet, Study, seeds_from_command_line

TEXT = [
    "data=shakespeare", "data.validation=0.002", "data.test_samples=200", "partition=natural", "partition.minimum=60", "clients=4", "rounds=3",
    "evaluate_every=3", "runtime=inline", "threads=1",
    "method.client.fit={epochs: 3, batch_size: 16, optimizer: {name: adam, lr: 0.01}}",
]  # fmt: skip
GRU, TRANSFORMER = ["model=gru", "model.embedding=24", "model.hidden=48"], ["model=transformer"]
PUBLIC = ["proxy=dataset", "proxy.dataset=kjv", "proxy.size=120", "proxy.labelled=true"]
READ = "method.client.pretrain={epochs: 3, batch_size: 16, optimizer: {name: adam, lr: 0.01}}"
DIGEST = "method.client.digest={epochs: 1, batch_size: 16, optimizer: {name: adam, lr: 0.003}}"
DISTIL = "method.distiller.fit={epochs: 3, batch_size: 16, optimizer: {name: adam, lr: 0.003}}"
METHODS = {
    "alone": ["method=local", "proxy=none"],
    "FedAvg": ["method=fedavg", "proxy=none"],
    "FedDF": ["method=feddf", *PUBLIC, DISTIL],
    "FedMD": ["method=fedmd", *PUBLIC, READ, DIGEST, DISTIL],
    "FedMD, no exchange": ["method=fedmd", *PUBLIC, READ, "method.client.digest.epochs=0", DISTIL],
    "pooled": ["method=pooled", "proxy=none"],
}
OTHERS = ("alone", "FedAvg", "FedMD")
"""The arms that are run with a transformer, too."""

BITS = "test/bits_per_character"
WHO = {"alone": "clients_mean", "FedMD": "clients_mean", "FedMD, no exchange": "clients_mean"}
"""Whose text is judged: the student's, or that of the clients where there is none for them to use."""

STRINGS = [
    "method=sequence_kd", "data=grammar", "data.samples=600", "partition=iid", "partition.holdout=0", "proxy=heldout", "proxy.size=300",
    "proxy.labelled=true", "clients=1", "rounds=1", "model=gru", "model.hidden=64", "method.client.fit.epochs=25", "student=gru", "student.hidden=32", "runtime=inline", "threads=1",
]  # fmt: skip
TARGETS = {
    "true continuations, no teacher": [
        "method.distiller.sequences.beam=0",
        "method.distiller.label_weight=1",
    ],
    "word level": ["method.distiller.sequences.beam=0"],
    "word level, hard": ["method.distiller.sequences.beam=0", "method.distiller.hard=true"],
    "sequence level": ["method.distiller.sequences.beam=5"],
}
EXACT = "student/test/exact_match"


def main() -> None:
    """Run both parts, print their tables and draw them."""
    study = Study("generation", seeds_from_command_line(__doc__))
    strings = study.run(TARGETS, common=STRINGS)
    other = {f"{name}, transformer": METHODS[name] for name in OTHERS}
    texts = pd.concat(
        [
            study.run(METHODS, common=[*TEXT, *GRU]),
            study.run(other, common=[*TEXT, *TRANSFORMER]),
        ],
        ignore_index=True,
    )
    arms = {**{name: name for name in METHODS}, **dict(zip(other, OTHERS, strict=True))}
    bits = {arm: column(texts, arm, f"{WHO.get(name, 'student')}/{BITS}") for arm, name in arms.items()}
    own = {arm: column(texts, arm, "clients_mean/own/bits_per_character") for arm in arms if arm != "pooled"}
    exact = {name: column(strings, name, EXACT) for name in TARGETS}
    teacher = Interval.of(list(column(strings, "word level", "clients_mean/test/exact_match")))
    gains = {
        "FedAvg against alone": bits["FedAvg"] - bits["alone"],
        "FedDF against FedAvg": bits["FedDF"] - bits["FedAvg"],
        "FedMD against no exchange": bits["FedMD"] - bits["FedMD, no exchange"],
        "FedMD against alone": bits["FedMD"] - bits["alone"],
        "FedAvg against pooled": bits["FedAvg"] - bits["pooled"],
        "FedAvg against alone, transformer": bits["FedAvg, transformer"] - bits["alone, transformer"],
        "FedMD against alone, transformer": bits["FedMD, transformer"] - bits["alone, transformer"],
        "transformer against GRU, FedAvg": bits["FedAvg, transformer"] - bits["FedAvg"],
    }
    study.picture(_picture(bits, exact, teacher))
    study.show(
        f"Shakespeare, four roles, public text from the King James Bible; {len(study.seeds)} paired seeds, bits per character [95 % interval]",
        ["method", "common test data", "clients' own held-out text"],
        [[name, _bits(bits[name]), _bits(own[name]) if name in own else ""] for name in arms],
        _verdict(gains, exact),
        further=[
            Sheet(
                "Differences in bits per character, less is better",
                ["comparison", "difference"],
                [[name, _bits(gain, sign=True)] for name, gain in gains.items()],
            ),
            Sheet(
                f"A string backwards: exact matches on new strings in % (the teacher: {teacher.percent()})",
                ["student learns", "exact matches", "minus word level, points"],
                [
                    [
                        name,
                        Interval.of(list(match)).percent(),
                        Interval.of(list(match - exact["word level"])).points(),
                    ]
                    for name, match in exact.items()
                ],
            ),
        ],
    )


def column(frame: pd.DataFrame, arm: str, name: str) -> "pd.Series[float]":
    """Return a measure of an arm by seed."""
    return frame[frame["arm"] == arm].set_index("seed").sort_index()[name]


def _bits(values: "pd.Series[float]", *, sign: bool = False) -> str:
    found, form = Interval.of(list(values)), "+.3f" if sign else ".3f"
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _verdict(gains: Mapping[str, "pd.Series[float]"], exact: Mapping[str, "pd.Series[float]"]) -> str:
    said = []
    for name, gain in gains.items():
        found = Interval.of(list(gain))
        word = "fewer bits" if found.high < 0 else "more bits" if found.low > 0 else "not settled"
        said.append(f"{name}: {word}.")
    for other in ("word level", "word level, hard", "true continuations, no teacher"):
        found = Interval.of(list(exact["sequence level"] - exact[other]))
        word = "better" if found.low > 0 else "worse" if found.high < 0 else "not settled"
        said.append(f"Sequence level against {other}: {word}.")
    return " ".join(said)


def _picture(
    bits: Mapping[str, "pd.Series[float]"], exact: Mapping[str, "pd.Series[float]"], teacher: Interval
) -> Figure:
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, arms, scale in ((left, bits, 1.0), (right, exact, 100.0)):
        for place, values in enumerate(arms.values()):
            found = Interval.of([scale * value for value in values])
            error = [[found.mean - found.low], [found.high - found.mean]]
            axes.errorbar([found.mean], [place], xerr=error, fmt="o", capsize=3, color="C0")
        axes.set_yticks(range(len(arms)), list(arms))
        axes.invert_yaxis()
        axes.grid(visible=True, alpha=0.3)
    right.axvline(100 * teacher.mean, color="grey", linewidth=1, label="the teacher")
    right.legend()
    left.set_title("Shakespeare by speaker")
    left.set_xlabel("bits per character, common test data")
    right.set_title("A string backwards")
    right.set_xlabel("exact matches on new strings, %")
    return figure


if __name__ == "__main__":
    main()
