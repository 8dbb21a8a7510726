"""Attention transfer: Zagoruyko & Komodakis (ICLR 2017); `fedkd.losses.at`."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Positive
from fedkd.objectives.terms.base import FeatureTerm, Lesson


@dataclass(frozen=True, kw_only=True)
class AT(FeatureTerm):
    """Distance of the maps that say where layers are active; layers must be convolutional, of any number of channels."""

    power: Positive = 2.0
    """Power of the activations."""

    form: Literal["squares", "norm"] = "squares"
    """`squares` is the mean of squared differences, as in the authors' code; `norm` the paper's distance."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean distance."""
        del learned
        return losses.at(*self.layers(lesson), power=self.power, form=self.form)
