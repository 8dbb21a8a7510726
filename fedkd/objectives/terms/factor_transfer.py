"""Factor transfer: Kim, Park & Kwak (NeurIPS 2018); `fedkd.losses.factor_transfer`.

Differs from the paper: the paraphraser learns at the same time as the student, by its own loss, in place of before.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.errors import IllegalCombination
from fedkd.objectives.terms.base import FeatureTerm, Lesson, Shapes


class _Factors(nn.Module):
    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.paraphraser = losses.Paraphraser(teacher)
        self.translator = losses.Translator(student, self.paraphraser.factors)


@dataclass(frozen=True, kw_only=True)
class FactorTransfer(FeatureTerm):
    """Difference between the factors that two small networks make of convolutional layers; both are learned."""

    form: Literal["maps", "factors"] = "maps"
    """`maps` compares the mean square over channels, as RepDistiller does; `factors` all of them, at one size of maps, as the paper does."""

    plain: ClassVar[bool] = False

    def learned(self, shapes: Shapes) -> nn.Module:
        """Return paraphraser and translator."""
        student, teacher = self.shapes(shapes)
        if len(student) != 3 or len(teacher) != 3:
            raise IllegalCombination(
                f"factor_transfer needs feature maps [channels, height, width]; these layers have shapes {list(student)} and {list(teacher)}"
            )
        return _Factors(student[0], teacher[0])

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the difference of the factors, and the paraphraser's own loss."""
        assert isinstance(learned, _Factors)
        mine, theirs = self.layers(lesson)
        transfer = losses.factor_transfer(
            learned.translator(mine), learned.paraphraser(theirs), form=self.form
        )
        return transfer + learned.paraphraser.reconstruction(theirs)
