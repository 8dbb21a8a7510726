"""What a weighting may know of the teachers of a round, and what a client can be asked about itself.

>>> Teachers(outputs=outputs, sizes=sizes, present=torch.ones(len(outputs), n, dtype=torch.bool), labels=proxy.targets)
Teachers(...)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fedkd.data.samples import Samples
from fedkd.knowledge.kinds.base import TrainedClient
from fedkd.tasks import Task

Need = Literal["labels", "student", "validation", "clients"]
"""What a server must know besides what teachers say: the true classes of the proxy samples, what the student says about
them before it learns, each teacher's score on validation data, what clients send beside their answers."""

Form = Literal["number", "classes", "answers", "samples"]
"""The shape of what a client sends beside its answer: one number, one for each class, one for each answer that a sample has (place of a
text, head of a network), one for each sample it speaks about."""

BY_ROW: frozenset[Form] = frozenset({"answers", "samples"})
"""The forms that are laid out on the server as one number for each row: each sample, or each answer of each sample."""

CLASS_COUNTS = "class_counts"
"""Name under which a client sends how many samples of each class it has."""

LABEL_COUNTS = "label_counts"
"""Name under which a client sends how many labels it has for each answer of a sample."""

Fault = Literal["ignorance", "error"]
"""What can be wrong with a teacher: it says the same of all classes, or it is sure of wrong ones."""


@dataclass(frozen=True, kw_only=True)
class Teachers:
    """Everything that is known of some teachers; what is not known is None.

    Attributes:
        outputs: what each says about each sample, in log space; whatever is given where it is not present, 0 is kept.
        sizes: how many training samples each has seen.
        present: whether a teacher spoke about a sample.
        labels: the true class of each sample.
        student: what the student says about each sample before it learns, in log space.
        scores: each teacher's score (`Task.score`) on validation data, larger is better.
        chance: the score of the best model that does not look at its input.
        sent: what clients sent beside their answers, by name: [teachers], [teachers, outputs], or [teachers, n] for samples and their answers.
    """

    outputs: Float[Tensor, "teachers n outputs"]
    sizes: Float[Tensor, " teachers"]
    present: Bool[Tensor, "teachers n"]
    labels: Int[Tensor, " n"] | None = None
    student: Float[Tensor, "n outputs"] | None = None
    scores: Float[Tensor, " teachers"] | None = None
    chance: float = 0.0
    sent: Mapping[str, Shaped[Tensor, "teachers ..."]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not bool(self.present.all()):
            object.__setattr__(self, "outputs", spoken(self.outputs, self.present))

    def each(self, values: Float[Tensor, " teachers"]) -> Float[Tensor, "teachers n"]:
        """Return one number of each teacher as its weight on every sample."""
        return values[:, None].expand(self.present.shape)


@runtime_checkable
class Witness(TrainedClient, Protocol):
    """A client after its training, asked about itself for the sake of a weighting."""

    @property
    def task(self) -> Task:
        """What outputs mean."""

    def private(self) -> Samples:
        """Return the client's own training samples."""

    def public(self, ids: Int[Tensor, " n"] | None = None) -> Samples:
        """Return these proxy samples, or all of them."""

    def on_holdout(self) -> tuple[Float[Tensor, "n ... outputs"], Shaped[Tensor, "n ..."]]:
        """Return the raw outputs on the client's own held-out samples, and their targets; there may be none."""


def shares(
    weights: Float[Tensor, "teachers n"], present: Bool[Tensor, "teachers n"] | None = None
) -> Float[Tensor, "teachers n"]:
    """Return the weights of those who spoke divided by their sum; where that is 0, they count alike.

    Args:
        weights: at least 0, or anything where a teacher did not speak; only ratios matter.
        present: who spoke about which sample; none is everyone about all. Where nobody did, all weights are 0.
    """
    spoke = torch.ones_like(weights) if present is None else present.to(weights.dtype)
    weights = torch.where(spoke > 0, weights, 0.0)
    nobody = weights.sum(dim=0, keepdim=True) <= 0
    weights = torch.where(nobody, spoke, weights)
    return weights / weights.sum(dim=0, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)


def spoken(
    outputs: Float[Tensor, "*teachers n outputs"], counts: Shaped[Tensor, "*teachers n"]
) -> Float[Tensor, "*teachers n outputs"]:
    """Return what teachers say, and 0 where they do not count: what stands there may be NaN, which no weight of 0 takes away.

    Args:
        outputs: what each says about each sample.
        counts: weights, or whether each spoke; 0 is neither.
    """
    return torch.where(counts[..., None] > 0, outputs, 0.0)
