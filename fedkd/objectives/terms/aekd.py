"""AEKD: Du et al., "Agree to Disagree: Adaptive Ensemble Knowledge Distillation in Gradient Space" (NeurIPS 2020), equations 6 to 8.

In each batch teachers count so that every teacher's loss falls along the step that their mixture takes: with g_k the gradient of teacher k's
loss at the student's logits, which is T (p - p_k) on average over the batch,

    a = argmin |sum_k a_k g_k|^2,   sum_k a_k = 1,   0 <= a_k <= C;   loss = sum_k a_k T^2 KL(p_k || p)

with p_k and p the distributions at temperature T. That gradients are means over the batch is the authors' code; `samples` compares them
sample by sample.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from fedkd.foundation.options import Positive
from fedkd.losses.gradients import smallest_combination
from fedkd.objectives.terms._teachers import Tally, teachers_in
from fedkd.objectives.terms.base import Lesson, Shapes, Term


@dataclass(frozen=True, kw_only=True)
class AEKD(Term):
    """Divergence from each teacher, weighed anew in each batch so that no teacher's gradient is overruled."""

    temperature: Positive = 4.0
    """Softens student and teachers alike; divergences are multiplied by its square."""

    largest: Annotated[float, Field(gt=0, le=1)] = 0.6
    """No teacher counts more than this (the C of the paper), or than 1/K where that is more; smaller tolerates less disagreement."""

    gradients: Literal["batch", "samples"] = "batch"
    """What is compared: the mean gradient of a batch, or the gradients of all its samples."""

    plain: ClassVar[bool] = False
    together: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """What each teacher says."""
        return ("logits",)

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return the tally of the weights; nothing of it is trained."""
        return Tally(teachers_in(shapes.teacher, "logits", term=self.name()))

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the weighted sum of the teachers' losses."""
        layers = lesson.teacher_layers
        said = torch.stack([layers[name] for name in teachers_in(layers, "logits", term=self.name())])
        wished = F.log_softmax(said / self.temperature, dim=-1)
        student = F.log_softmax(lesson.student / self.temperature, dim=-1)
        weights = self.weights(wished, student.detach())
        cast("Tally", learned).add(weights)
        each = (wished.exp() * (wished - student)).sum(dim=-1).flatten(start_dim=1).mean(dim=1)
        return self.temperature**2 * (weights.to(each) * each).sum()

    def weights(
        self, wished: Float[Tensor, "teachers batch ... classes"], student: Float[Tensor, "batch ... classes"]
    ) -> Float[Tensor, " teachers"]:
        """Return how much each teacher counts; several answers of a sample make one gradient.

        Args:
            wished: log-probabilities of each teacher at the temperature.
            student: log-probabilities of the student at the temperature.
        """
        gradients = student.double().exp() - wished.double().exp()
        rows = (gradients.mean(dim=1) if self.gradients == "batch" else gradients).flatten(start_dim=1)
        return torch.from_numpy(smallest_combination((rows @ rows.T).cpu().numpy(), self.largest))

    def shares(self, learned: nn.Module | None) -> dict[str, float]:
        """Return the mean of the weights over the batches so far."""
        return cast("Tally", learned).shares()
