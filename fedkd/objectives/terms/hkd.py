"""Holistic knowledge; `fedkd.losses.HKD`.

Zhou, Wang, Chen, Chen, Wang, Wang & Bu, "Distilling Holistic Knowledge with Graph Neural Networks" (ICCV 2021).
Differs from the authors' code: a sample is told from those of its batch, not from 16,384 in a memory; these are of all classes, unless
`labels` is given; the teachers' graph is that of what they say together.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Count, NonNegative, Positive
from fedkd.objectives.terms.base import FeatureTerm, Labels, Lesson, Shapes


@dataclass(frozen=True, kw_only=True)
class HKD(FeatureTerm):
    """Tells samples from others by what a graph convolution makes of each and of those that are alike, in both networks.

    Of each network, e_i is the learned embedding of sample i, and N(i) the sample with those whose probabilities are most like its own:

        h_i = U e_i + V mean_(j in N(i)) e_j, at length 1
        L = C(h_student, h_teacher) + individual C(e_student, e_teacher)

    with C(s, t) the mean over i of -log [ exp(s_i . t_i / T) / sum_j exp(s_i . t_j / T) ], and of the same with s and t in each other's place.
    """

    neighbours: Count = 8
    """Size of N(i), the sample itself among them; the whole batch, where that is smaller."""

    width: Count = 128
    """Width of the embeddings and of what the graph network makes of them."""

    temperature: Positive = 0.07
    """T, of the similarities."""

    individual: NonNegative = 1.0
    """Weight of the contrast of embeddings without their neighbours."""

    labels: Labels | None = None
    """Whose classes: j runs over i and the samples of other classes, as the `teacher` or a labelled `proxy` set names them; none: over all."""

    plain: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @property
    def needs_targets(self) -> bool:
        """Whether classes are the true ones."""
        return self.labels == "proxy"

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the embeddings and graph convolutions."""
        return losses.HKD(
            *self.shapes(shapes),
            neighbours=self.neighbours,
            width=self.width,
            temperature=self.temperature,
            individual=self.individual,
        )

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean contrast."""
        assert isinstance(learned, losses.HKD)
        classes = None if self.labels is None else lesson.labels(self.labels)
        return learned(*self.layers(lesson), lesson.student, lesson.teacher, classes)  # type: ignore[no-any-return]
