"""What can be known of a teacher before anybody learns from it: which score foretells what the student loses without that teacher?

Survey, open problem 2: few works measure how much a teacher could transfer. Ten clients (Fashion-MNIST, Dirichlet 0.3; the first one was taught the next class in
place of the true one) are trained once for each seed. A fresh student learns from the mean of their probabilities on 500 public samples, then again without one of the
teachers, for the same steps from the same weights, three times with other weights; a teacher's worth is the mean loss of test accuracy without it. Scores see the teachers, the
public samples without labels and validation data, never a student that has learned, or test data. Each is held against the worth by Spearman's rank correlation over
the ten teachers, with its interval over seeds.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy import stats
from torch import Tensor, nn

from fedkd.aggregation.fusions.mean_probabilities import MeanProbabilities
from fedkd.data.datasets.fashion_mnist import FashionMnist
from fedkd.data.proxies.heldout import Heldout
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.engine.client import initial_network
from fedkd.foundation.seeding import Streams
from fedkd.models.base import predict, run_network
from fedkd.models.mlp import MLP
from fedkd.training import Fit, Optimizer
from simulations.liars import Liars
from simulations.study import Interval, Study, seeds_from_command_line
from simulations.teachers import TASK, Teachers, scores

CLIENTS, PUBLIC, STUDENTS, STEPS = 10, 500, 3, 250
SCORES = {
    "confidence": "negative entropy of its answers",
    "calibration": "minus its calibration error on validation data",
    "accuracy": "on validation data",
    "agreement": "with the mean of the others, on public samples",
    "coverage": "entropy of the classes that it names",
    "label coverage": "entropy of the labels that it has seen",
    "size": "samples that it has seen",
    "CKA, others": "of its features with the other teachers', mean",
    "CKA, student": "of its features with the fresh student's",
    "laboratory": "coverage of all teachers together, the proxy laboratory's best score, minus that without it",
    "ensemble": "accuracy of all together on validation data minus that without it",
}
WORTH = "worth"


def main() -> None:
    """Run the study, print its table and draw it."""
    study = Study("knowledge_quality", seeds_from_command_line(__doc__))
    frame = pd.DataFrame([row for seed in study.seeds for row in _tried(study.folder, seed)])
    ranks = {name: _ranking(frame, name) for name in SCORES}
    order = sorted(SCORES, key=lambda name: -ranks[name].mean)
    liar, honest = frame[frame["client"] == 0], frame[frame["client"] > 0]
    within = {name: _ranking(honest, name) for name in SCORES}
    study.picture(_picture(frame, ranks, order))
    study.show(
        f"Which score foretells a teacher's worth, {len(study.seeds)} seeds, rank correlation [95 % interval]",
        ["score", "what it is", "all ten teachers", "the nine honest ones", "of the liar, mean", "of the others, mean"],
        [
            [
                name, SCORES[name], _signed(ranks[name]), _signed(within[name]),
                f"{liar[name].mean():.2f}", f"{honest[name].mean():.2f}",
            ]
            for name in order
        ],
        _verdict(frame, ranks, within),
    )  # fmt: skip


def _tried(folder: Path, seed: int) -> list[dict[str, float]]:
    """Return a row for each teacher; what an earlier call has measured is read."""
    path = folder / f"{seed}.json"
    if path.exists():
        rows: list[dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
        return rows
    torch.set_num_threads(1)
    teachers = Teachers.trained(
        FashionMnist(samples=5000, test_samples=3000),
        Liars(alpha=0.3, liars=1, loudness=1.0),
        MLP(),
        Fit(epochs=8, optimizer=Optimizer(lr=0.05, momentum=0.9, clip_norm=5.0)),
        clients=CLIENTS,
        reserve=1000,
        seed=seed,
    )
    data, streams = teachers.data, Streams(seed)
    assert data.proxy is not None
    public = Heldout(size=PUBLIC).draw(data.info, data.proxy, streams).samples
    assert public is not None
    said = teachers.say(public.inputs)
    students = [initial_network(MLP(), data, streams, owner=f"student {number}") for number in range(STUDENTS)]  # fmt: skip
    known = teacher_scores(teachers, public, said, students[0])

    def learned(who: list[int]) -> float:
        values = []
        for number, fresh in enumerate(students):
            network = copy.deepcopy(fresh)
            _teach(network, public, said[who], streams.torch("distil", client=number))
            right = predict(network, data.test.inputs).argmax(dim=-1) == data.test.targets
            values.append(float(right.double().mean()))
        return float(np.mean(values))

    everyone = list(range(CLIENTS))
    whole = learned(everyone)
    rows = [
        {
            "seed": seed,
            "client": client,
            "student": whole,
            WORTH: whole - learned([other for other in everyone if other != client]),
            **{name: float(values[client]) for name, values in known.items()},
        }
        for client in everyone
    ]
    folder.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".part")
    begun.write_text(json.dumps(rows), encoding="utf-8")
    begun.replace(path)
    return rows


def _teach(student: nn.Module, public: Samples, said: Tensor, generator: torch.Generator) -> None:
    equal = torch.full(said.shape[:2], 1.0 / len(said))
    plan = Fit(epochs=STEPS, batch_size=32, max_steps=STEPS, optimizer=Optimizer(name="adam", lr=0.002))
    fused = MeanProbabilities().fuse(said, equal)
    Distiller(fit=plan).distil(student, public.inputs, fused, task=TASK, generator=generator)


def teacher_scores(teachers: Teachers, public: Samples, said: Tensor, student: nn.Module) -> Mapping[str, list[float]]:  # fmt: skip
    """Return every score of every teacher; larger is meant to be better.

    Args:
        teachers: who speak.
        public: samples without labels.
        said: logits of every teacher on them [teachers, n, classes].
        student: a student before it learns.
    """
    data, everyone = teachers.data, range(len(teachers.networks))
    validation, classes = data.validation, said.shape[-1]
    answers = teachers.say(validation.inputs)
    judged = F.softmax(answers.double(), dim=-1)
    each = F.softmax(said.double(), dim=-1)
    measured = [TASK.metrics(own, validation.targets) for own in answers]
    seen = [torch.bincount(data.client_train(k).targets, minlength=classes).double() for k in everyone]
    features = [run_network(network, public.inputs).features.detach() for network in teachers.networks]
    fresh = run_network(student, public.inputs).features.detach()

    def without(k: int, rows: Tensor) -> Tensor:
        return rows[[other for other in everyone if other != k]]

    def right(probabilities: Tensor) -> float:
        return float((probabilities.mean(dim=0).argmax(dim=-1) == validation.targets).double().mean())

    def laboratory(logits: Tensor) -> float:
        return scores(teachers, public, logits)["coverage"]

    return {
        "confidence": [-_entropy(own).mean().item() for own in each],
        "calibration": [-own["ece"] for own in measured],
        "accuracy": [own["accuracy"] for own in measured],
        "agreement": [(each[k].argmax(-1) == without(k, each).mean(0).argmax(-1)).double().mean().item() for k in everyone],
        "coverage": [_entropy(own.mean(dim=0)).item() for own in each],
        "label coverage": [_entropy(counts / counts.sum()).item() for counts in seen],
        "size": [counts.sum().item() for counts in seen],
        "CKA, others": [float(np.mean([linear_cka(features[k], features[j]) for j in everyone if j != k])) for k in everyone],
        "CKA, student": [linear_cka(own, fresh) for own in features],
        "laboratory": [laboratory(said) - laboratory(without(k, said)) for k in everyone],
        "ensemble": [right(judged) - right(without(k, judged)) for k in everyone],
    }  # fmt: skip


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Return the similarity of two layers on the same samples, 0 to 1: Kornblith et al. (ICML 2019), centred kernel alignment, linear."""
    x, y = (rows.flatten(1).double() - rows.flatten(1).double().mean(dim=0) for rows in (one, other))
    own = (x.T @ x).norm() * (y.T @ y).norm()
    return float((x.T @ y).square().sum() / own.clamp_min(torch.finfo(own.dtype).tiny))


def _entropy(probabilities: Tensor) -> Tensor:
    return -torch.special.xlogy(probabilities, probabilities).sum(dim=-1) / np.log(probabilities.shape[-1])


def _ranking(frame: pd.DataFrame, score: str) -> Interval:
    """Return Spearman's rank correlation over the teachers, with its interval over the seeds, which ends at -1 and 1."""
    found = [
        float(stats.spearmanr(own[score], own[WORTH]).statistic)
        if own[score].max() > own[score].min()
        else 0.0
        for _, own in frame.groupby("seed")
    ]
    rank = Interval.of(found)
    return Interval(rank.mean, max(rank.low, -1.0), min(rank.high, 1.0))


def _signed(rank: Interval) -> str:
    return f"{rank.mean:+.2f} [{rank.low:+.2f}, {rank.high:+.2f}]"


def _verdict(frame: pd.DataFrame, ranks: Mapping[str, Interval], within: Mapping[str, Interval]) -> str:
    def sure(of: Mapping[str, Interval], sign: int) -> str:
        found = [name for name, rank in of.items() if rank.excludes_zero and sign * rank.mean > 0]
        return ", ".join(found) or "none"

    liar = frame[frame["client"] == 0].groupby("seed")[WORTH].mean()
    spread = frame[frame["client"] > 0].groupby("seed")[WORTH].std().mean()
    student = Interval.of(list(frame.groupby("seed")["student"].first()))
    return (
        f"The student of all ten: {student.percent()} %. Worth of the liar: {Interval.of(list(liar)).points()} points; of the honest teachers it spreads by {100 * spread:.1f} points "
        f"(standard deviation within a seed). Foretells the worth for certain, all ten: {sure(ranks, 1)}; against it: {sure(ranks, -1)}. Among the honest ones: {sure(within, 1)}; "
        f"against it: {sure(within, -1)}. Intervals are not corrected for their number."
    )


def _picture(frame: pd.DataFrame, ranks: Mapping[str, Interval], order: list[str]) -> Figure:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axvline(0.0, color="grey", linewidth=1)
    for place, name in enumerate(order):
        rank = ranks[name]
        left.errorbar([rank.mean], [place], xerr=[[rank.mean - rank.low], [rank.high - rank.mean]], fmt="o", capsize=3, color="C0")  # fmt: skip
    left.set_yticks(range(len(order)), order)
    left.invert_yaxis()
    left.set(xlabel="rank correlation with the worth", title="scores before distilling")
    best = order[0]
    for seed, own in frame.groupby("seed"):
        right.plot(own[best], 100 * own[WORTH], "o", color=f"C{int(seed) % 10}", label=f"seed {seed}")
    liars = frame[frame["client"] == 0]
    right.plot(liars[best], 100 * liars[WORTH], "x", color="black", markersize=9, label="the liar")
    right.axhline(0.0, color="grey", linewidth=1)
    right.set(xlabel=f"{best}: {SCORES[best]}", ylabel="worth: loss of the student without it, points", title="the best score")  # fmt: skip
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
    return figure


if __name__ == "__main__":
    main()
