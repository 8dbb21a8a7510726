"""TMKD: Yang et al., "Model Compression with Two-stage Multi-teacher Knowledge Distillation for Web Question Answering System" (WSDM 2020).

A student has a head for each teacher on a shared body (`model=heads`) and answers with their mean. With p_k what teacher k says at temperature T,
q_k what its head says, y the label where it is known:

    L = mean over k of (1 - a) T^2 KL(p_k || q_k) + a CE(q_k, y)

Two such terms, one after the other by their schedules, make the two stages: first a = 0 on all samples, then labels too, on the
labelled samples alone. With one head, which is the default, all teachers teach that one: the paper's many-to-one form.

Differs from the paper: the unlabelled samples of the first stage are as many as there are in the proxy set, of which the second sees a
share, and not a corpus apart; heads are averaged before the softmax.
"""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.foundation.options import Positive, Share
from fedkd.losses import kd
from fedkd.objectives.terms._teachers import teachers_in
from fedkd.objectives.terms.base import Lesson, Shapes, Term


@dataclass(frozen=True, kw_only=True)
class TMKD(Term):
    """Each head of the student learns from a teacher of its own, and from labels."""

    temperature: Positive = 4.0
    """Softens heads and teachers alike; divergences are multiplied by its square."""

    label_weight: Share = 0.0
    """Share of the loss that is the cross-entropy of each head against the true label (a)."""

    labelled: Share = 1.0
    """Share of the proxy samples that are learned from, the first ones; 1 is all of them."""

    heads: tuple[str, ...] = ("logits",)
    """Layers of the student that answer: `[heads.0, heads.1]`; where teachers and heads are not equally many, they are dealt to each other in turn."""

    plain: ClassVar[bool] = False
    together: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @property
    def needs_targets(self) -> bool:
        """Whether labels are learned."""
        return self.label_weight > 0

    @property
    def of_student(self) -> tuple[str, ...]:
        """The heads."""
        return self.heads

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """What each teacher says."""
        return ("logits",)

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return what knows how many samples are learned from; nothing of it is trained."""
        return _First(math.ceil(self.labelled * shapes.samples))

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean over pairs of a teacher and its head, and over the samples that are learned from; 0 where a batch has none."""
        layers = lesson.teacher_layers
        teachers = [layers[name] for name in teachers_in(layers, "logits", term=self.name())]
        heads = [lesson.student_layers[name] for name in self.heads]
        pairs = itertools.islice(
            zip(itertools.cycle(teachers), itertools.cycle(heads)), max(len(teachers), len(heads))
        )
        each = torch.stack([self._taught(head, teacher, lesson) for teacher, head in pairs]).mean(dim=0)
        learns = cast("_First", learned).of(lesson.rows, each)
        return (learns * each).sum() / learns.sum().clamp_min(1.0)

    def _taught(self, head: Tensor, teacher: Tensor, lesson: Lesson) -> Float[Tensor, " batch"]:
        taught = (1.0 - self.label_weight) * kd(head, teacher, temperature=self.temperature, reduction="none")
        if not self.label_weight:
            return taught
        return taught + self.label_weight * lesson.task.supervised(head, lesson.labels("proxy"))


class _First(nn.Module):
    """The first samples of a set.

    Args:
        count: how many they are.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def of(self, rows: Int[Tensor, " batch"] | None, like: Tensor) -> Float[Tensor, " batch"]:
        """Return 1 for each sample of a batch that is one of them, else 0; where positions are not known, all are."""
        return torch.ones_like(like) if rows is None else (rows < self._count).to(like)
