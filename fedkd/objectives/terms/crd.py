"""Contrastive representation distillation: Tian, Krishnan & Isola (ICLR 2020); `fedkd.losses.CRD`."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, OpenFraction, Positive
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class CRD(FeatureTerm):
    """Tells each sample from others by the other network's memory of it; embeddings are learned, memories begin anew each time."""

    negatives: Count = 1024
    """Other samples that each is told from, drawn anew for every batch; at most all others."""

    width: Count = 128
    """Width of the embeddings."""

    temperature: Positive = 0.07
    """Of the similarities."""

    momentum: OpenFraction = 0.5
    """Share of an old memory that stays."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the embeddings and memories."""
        return losses.CRD(
            *self.shapes(shapes),
            samples=shapes.samples,
            negatives=self.negatives,
            width=self.width,
            temperature=self.temperature,
            momentum=self.momentum,
        )

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean contrast, and remember the embeddings."""
        assert isinstance(learned, losses.CRD)
        rows = torch.arange(len(lesson.student)) if lesson.rows is None else lesson.rows
        mine, theirs = self.layers(lesson)
        return learned(mine, theirs, rows, learned.draw(rows, lesson.drawing()))  # type: ignore[no-any-return]
