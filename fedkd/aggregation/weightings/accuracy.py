"""Teachers count by how often they are right, on data that nobody trained on."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.teachers import Teachers
from fedkd.aggregation.weightings._scored import Scored


@dataclass(frozen=True, kw_only=True)
class Accuracy(Scored):
    """Accuracy of teacher k divided by the sum of all accuracies; in a regression the score is R^2.

    A teacher that could not be judged counts as one that does not look at its input. Where clients differ in their labels, their
    accuracy on what they held out says little: one that knows a single class is always right.
    """

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the score, at least 0, the same on every sample."""
        scores, chance = self.judged(teachers)
        return teachers.each(scores.where(~scores.isnan(), chance).clamp_min(0.0))
