"""Several classifications of the same sample: outputs are the scores of each head of a network, targets a class for each head.

An output is [samples, heads, classes] with as many classes as the largest head has; networks score the classes that a head lacks below all
that it has (`models/_heads.py`). A target is [samples, heads], -1 where the class is not known: whoever knows one task alone has -1 for the
others, and learns nothing of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.tasks._distributions import alike
from fedkd.tasks._several import SeveralAnswers
from fedkd.tasks.base import Divergence
from fedkd.tasks.classification import Classification

_ONE = Classification()


@dataclass(frozen=True)
class MultitaskClassification(SeveralAnswers):
    """One class for each head; every task counts alike.

    Args:
        heads: names of the heads.
        classes: number of classes of each.
    """

    heads: tuple[str, ...]
    classes: tuple[int, ...]

    score: ClassVar[str] = _ONE.score
    pads: ClassVar[bool] = True

    @classmethod
    def of(cls, data: DataInfo) -> "MultitaskClassification":
        """Return the task with the data's heads."""
        return cls._with(data.heads)

    @classmethod
    def unloaded(cls, data: DataSet) -> "MultitaskClassification":
        """Return the same: heads are known beforehand."""
        return cls._with(data.heads)

    @classmethod
    def answer(cls, data: DataInfo | DataSet) -> tuple[int, ...]:
        """Return [heads, classes]."""
        return (len(data.heads), data.num_outputs)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics of a classification, then the accuracy of each head."""
        return (*_ONE.metric_names, *(f"{_ONE.score}_{head}" for head in self.heads))

    @property
    def larger_is_better(self) -> frozenset[str]:
        """Those of a classification, and the accuracy of each head."""
        return _ONE.larger_is_better | frozenset(f"{_ONE.score}_{head}" for head in self.heads)

    def divergence(
        self,
        student: Float[Tensor, "n heads classes"],
        teacher: Float[Tensor, "n heads classes"],
        *,
        measure: Divergence = "task",
        temperature: float = 1.0,
    ) -> Float[Tensor, " n"]:
        """Return the mean over the heads of how far the student is from the teacher; raw scores are compared over the classes that a head has."""
        if measure != "task":
            lacking = self._lacking(student)
            student, teacher = (said.masked_fill(lacking, 0.0) for said in (student, teacher))
        return super().divergence(student, teacher, measure=measure, temperature=temperature)

    def measured(
        self, outputs: Float[Tensor, "clients n heads classes"], targets: Int[Tensor, "n heads"]
    ) -> Float[Tensor, "clients metrics"]:
        """Return accuracy, macro-F1, cross-entropy in nats and calibration error, each the mean over the heads, and each head's accuracy.

        Heads of which no class is known are left out; their accuracy, and that of no head at all, is NaN.
        """
        shape = (len(self.heads), len(outputs), len(_ONE.metric_names))
        each = outputs.new_full(shape, float("nan"), dtype=torch.float64)
        for head, (true, size) in enumerate(zip(targets.unbind(dim=1), self.classes, strict=True)):
            known = true >= 0
            if bool(known.any()):
                each[head] = _ONE.measured(outputs[:, known, head, :size], true[known])
        return torch.cat([each.nanmean(dim=0), each[:, :, _ONE.metric_names.index(_ONE.score)].T], dim=-1)

    def chance(self, targets: Int[Tensor, "n heads"]) -> float:
        """Return the mean over the heads of the share of the most frequent known class; 0 without any."""
        known = [true[true >= 0] for true in targets.unbind(dim=1)]
        shares = [_ONE.chance(true) for true in known if len(true)]
        return sum(shares) / len(shares) if shares else 0.0

    def died(self, outputs: Float[Tensor, "clients n heads classes"]) -> Bool[Tensor, " clients"]:
        """Return whether each network gives every sample the same probabilities in all heads, or something that is not finite."""
        finite = outputs.amax(dim=-1).isfinite().flatten(1).all(dim=-1)
        return ~finite | torch.stack([alike(head) for head in outputs.unbind(dim=2)]).all(dim=0)

    @classmethod
    def _with(cls, heads: Mapping[str, tuple[str, ...]]) -> "MultitaskClassification":
        return cls(tuple(heads), tuple(len(names) for names in heads.values()))

    def _lacking(self, said: Float[Tensor, "n heads classes"]) -> Bool[Tensor, "heads classes"]:
        numbers = torch.arange(said.shape[-1], device=said.device)
        return numbers >= torch.tensor(self.classes, device=said.device)[:, None]
