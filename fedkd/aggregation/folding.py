"""Many teachers into one as their answers come. Where the parts allow it, only sums are held, never all answers.

>>> folding = Folding(ERA(), Uniform(), samples=len(proxy))
>>> for client, outputs in answers:
...     folding.add(client, outputs, size=100)
>>> folding.result().scores
tensor([[...]])
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.evidence import by_row
from fedkd.aggregation.fusions.base import ClasswiseFusion, Fusion, MeanFusion, RandomFusion, Relations
from fedkd.aggregation.sums import Sum
from fedkd.aggregation.teachers import BY_ROW, CLASS_COUNTS, Teachers, shares
from fedkd.aggregation.weightings.base import LEAST, LoneWeighting, Weighting
from fedkd.foundation.seeding import Streams

FUSION = "fusion"
"""Name of the random stream of fusions that draw."""


class Fused(NamedTuple):
    """What all teachers together say.

    Attributes:
        scores: [heard, outputs] float32 ([heard, places, outputs] where samples have several answers), scores whose softmax is the target (for numbers: the numbers).
        heard: [heard] the samples that at least one teacher spoke about, rising.
        weights: each client's mean weight over these samples.
        relations: which samples are alike, where the fusion says so; places among those that were heard.
    """

    scores: Float[Tensor, "heard ... outputs"]
    heard: Int[Tensor, " heard"]
    weights: Mapping[int, float]
    relations: Relations | None = None


class _Ground(NamedTuple):
    """The samples that teachers speak about: how many, their classes where these are known, and the score of chance."""

    samples: int
    labels: Int[Tensor, " n"] | None
    chance: float


class _Teacher(NamedTuple):
    """One client's answer, or what is still needed of it: `rows` are the samples it is about, none is all."""

    rows: Int[Tensor, " m"] | None
    said: Tensor
    size: float
    score: float | None
    sent: Mapping[str, Tensor]


class Folding:
    """Fuses answers that come one by one; the result does not depend on their order.

    Where the fusion is a mean (`MeanFusion`) and a teacher can be weighed alone (`LoneWeighting`), an answer is added to a
    sum and let go; otherwise all answers are held. An answer that is missing is a weight of 0, never a vector of zeros.
    Where a sample has several answers, one for each place or head, each of them is fused and weighed like a sample of its own.

    Args:
        fusion, weighting: how answers become one.
        samples: how many samples there are to speak about.
        labels: the true class of each sample, for weightings that need them.
        chance: the score of the best model that does not look at its input.
    """

    def __init__(
        self,
        fusion: Fusion,
        weighting: Weighting,
        *,
        samples: int,
        labels: Int[Tensor, " n"] | None = None,
        chance: float = 0.0,
    ) -> None:
        self._fusion, self._weighting = fusion, weighting
        self._samples, self._labels, self._chance = samples, labels, chance
        self._places = torch.Size()
        self._begun: _Way | None = None

    def add(
        self,
        client: int,
        outputs: Float[Tensor, "m ... outputs"],
        *,
        size: int,
        rows: Int[Tensor, " m"] | None = None,
        score: float | None = None,
        sent: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Count an answer.

        Args:
            client: who speaks; each client speaks once.
            outputs: raw outputs or log-probabilities.
            size: how many training samples stand behind it.
            rows: the samples that the answer is about, each at most once; none is all of them, in order.
            score: the teacher's score on validation data, for weightings that need it.
            sent: what the client sent beside its answer, by name.
        """
        if self._begun is None:
            self._places = outputs.shape[1:-1]
        each = self._places.numel()
        sent = by_row(sent or {}, self._weighting.sends, samples=len(outputs), answers=each)
        if self._places:
            rows = None if rows is None else (rows[:, None] * each + torch.arange(each)).flatten()
            outputs = outputs.flatten(0, -2)
        self._way.add(client, _Teacher(rows, outputs, float(size), score, sent))

    def result(
        self,
        *,
        student: Float[Tensor, "n ... outputs"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Fused:
        """Return what those who were counted say together.

        Args:
            student: what the student says about the samples before it learns, for weightings that need it.
            generator: for fusions that draw; by default that of no round.
        """
        if student is not None and self._places:
            student = student.flatten(0, -2)
        fused = self._way.result(student, generator or Streams(0).torch(FUSION))
        if not self._places:
            return fused
        each = self._places.numel()
        scores = fused.scores.reshape(-1, *self._places, fused.scores.shape[-1])
        return fused._replace(scores=scores, heard=fused.heard[::each] // each)

    @property
    def _way(self) -> "_Way":
        """The way to fuse, which begins with the first answer: that says how many answers a sample has."""
        if self._begun is None:
            each, labels = self._places.numel(), self._labels
            ground = _Ground(self._samples * each, None if labels is None else labels.flatten(), self._chance)
            self._begun = (
                _Summed(self._fusion, self._weighting, ground)
                if isinstance(self._fusion, MeanFusion)
                and isinstance(self._weighting, LoneWeighting)
                and "student" not in self._weighting.needs
                else _Held(self._fusion, self._weighting, ground)
            )
        return self._begun


class _Way(ABC):
    """One of the two ways to fuse."""

    @abstractmethod
    def add(self, client: int, teacher: _Teacher) -> None: ...

    @abstractmethod
    def result(self, student: Tensor | None, generator: torch.Generator) -> Fused: ...


class _Summed(_Way):
    """Holds the sums; of each client no more than its weights, and those as one number where they are all alike."""

    def __init__(self, fusion: MeanFusion, weighting: LoneWeighting, ground: _Ground) -> None:
        self._fusion, self._weighting, self._ground, self._width = fusion, weighting, ground, 0
        self._total, self._weight = Sum(0), Sum(ground.samples)
        self._silent = torch.ones(ground.samples, dtype=torch.bool)
        self._counted: dict[int, _Teacher] = {}

    def add(self, client: int, teacher: _Teacher) -> None:
        samples, rows = self._ground.samples, teacher.rows
        if not self._counted:
            self._width = teacher.said.shape[1]
            self._total = Sum(samples * self._width)
        said = teacher.said.double()
        weights = self._weighting.alone(self._only(teacher, said))[0].double().clamp_min(LEAST)
        term = self._fusion.summand(said) * weights[:, None]
        if rows is not None:
            term = torch.zeros(samples, self._width, dtype=torch.float64).index_copy_(0, rows, term)
        self._total.add(term.numpy().reshape(-1))
        self._weight.add(_whole(weights, rows, samples).numpy())
        self._silent[slice(None) if rows is None else rows] = False
        alike = bool((weights == weights[:1]).all())
        self._counted[client] = teacher._replace(said=(weights[:1] if alike else weights).clone(), sent={})

    def result(self, student: Tensor | None, generator: torch.Generator) -> Fused:
        del student, generator
        heard = (~self._silent).nonzero().flatten()
        weight = torch.from_numpy(self._weight.result())
        share = torch.where(weight > 0, 1.0 / weight, 0.0)
        total = torch.from_numpy(self._total.result()).reshape(self._ground.samples, self._width)
        mean = total * share[:, None]
        whole = _mean(share, heard)
        means = {
            client: float(said) * whole
            if rows is None and len(said) == 1
            else _mean(said * (share if rows is None else share[rows]), heard)
            for client, (rows, said, _, _, _) in sorted(self._counted.items())
        }
        return Fused(self._fusion.finish(mean[heard]).float(), heard, means)

    def _only(self, teacher: _Teacher, said: Float[Tensor, "m outputs"]) -> Teachers:
        """Return what is known of one teacher, on the samples that it spoke about."""
        labels, rows = self._ground.labels, teacher.rows
        return Teachers(
            outputs=said[None],
            sizes=torch.tensor([teacher.size], dtype=torch.float64),
            present=torch.ones(1, len(said), dtype=torch.bool),
            labels=labels if labels is None or rows is None else labels[rows],
            scores=None if teacher.score is None else torch.tensor([teacher.score], dtype=torch.float64),
            chance=self._ground.chance,
            sent={name: array[None] for name, array in teacher.sent.items()},
        )


class _Held(_Way):
    """Holds all answers, and fuses them in the order of clients."""

    def __init__(self, fusion: Fusion, weighting: Weighting, ground: _Ground) -> None:
        self._fusion, self._weighting, self._ground = fusion, weighting, ground
        self._counted: dict[int, _Teacher] = {}

    def add(self, client: int, teacher: _Teacher) -> None:
        self._counted[client] = teacher._replace(said=teacher.said.float())

    def result(self, student: Tensor | None, generator: torch.Generator) -> Fused:
        clients = sorted(self._counted)
        present = self._placed([torch.ones(len(self._counted[client].said)) for client in clients]) > 0
        heard = present.any(dim=0).nonzero().flatten()
        teachers = self._together(present, heard, student)
        weights = shares(self._weighting.weigh(teachers), teachers.present)
        means = weights.mean(dim=1).tolist() if len(heard) else [0.0] * len(clients)
        scores = self._fuse(teachers, weights, generator)
        relations = self._fusion.relations(teachers.outputs, weights, generator)
        return Fused(scores, heard, dict(zip(clients, means, strict=True)), relations)

    def _fuse(self, teachers: Teachers, weights: Tensor, generator: torch.Generator) -> Tensor:
        fusion, counts = self._fusion, teachers.sent.get(CLASS_COUNTS)
        if isinstance(fusion, RandomFusion):
            return fusion.draw(teachers.outputs, weights, generator)
        if isinstance(fusion, ClasswiseFusion) and counts is not None:
            return fusion.fuse_known(teachers.outputs, weights, counts > 0)
        return fusion.fuse(teachers.outputs, weights)

    def _together(self, present: Tensor, heard: Tensor, student: Tensor | None) -> Teachers:
        """Return what is known of all teachers, on the samples that somebody spoke about."""
        everyone = [self._counted[client] for client in sorted(self._counted)]
        labels, sent = self._ground.labels, {}
        for name, form in self._weighting.sends.items():
            arrays = [teacher.sent[name] for teacher in everyone]
            sent[name] = self._placed(arrays)[:, heard] if form in BY_ROW else torch.stack(arrays)
        scores = [teacher.score for teacher in everyone if teacher.score is not None]
        return Teachers(
            outputs=self._placed([teacher.said for teacher in everyone])[:, heard],
            sizes=torch.tensor([teacher.size for teacher in everyone]),
            present=present[:, heard],
            labels=None if labels is None else labels[heard],
            student=None if student is None else student[heard],
            scores=torch.tensor(scores, dtype=torch.float64) if len(scores) == len(everyone) else None,
            chance=self._ground.chance,
            sent=sent,
        )

    def _placed(self, said: list[Tensor]) -> Tensor:
        """Return what each teacher says about each sample, 0 where it says nothing."""
        shape = said[0].shape[1:] if said else ()
        placed = torch.zeros(len(said), self._ground.samples, *shape)
        for place, client in enumerate(sorted(self._counted)):
            rows = self._counted[client].rows
            placed[place, slice(None) if rows is None else rows] = said[place]
        return placed


def _mean(weights: Float[Tensor, " m"], heard: Int[Tensor, " heard"]) -> float:
    """Return the mean over the samples that were heard, 0 where nothing was said; NumPy sums alike with any threads."""
    return float(weights.numpy().sum()) / max(len(heard), 1)


def _whole(weights: Float[Tensor, " m"], rows: Int[Tensor, " m"] | None, samples: int) -> Tensor:
    """Return the weight on every sample, 0 where nothing was said."""
    if rows is None:
        return weights
    return torch.zeros(samples, dtype=weights.dtype).index_copy_(0, rows, weights)
