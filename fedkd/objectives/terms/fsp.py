"""Flow of the solution procedure: Yim et al. (CVPR 2017); `fedkd.losses.fsp`."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.objectives.terms.base import Lesson, Term


@dataclass(frozen=True, kw_only=True)
class FSP(Term):
    """Error of the inner products between the channels of two layers; both networks need the same channels there."""

    student_layers: tuple[str, str] = ("features", "features")
    """An earlier and a later convolutional layer of the student."""

    teacher_layers: tuple[str, str] = ("features", "features")
    """The same of the teachers' networks."""

    pooling: Literal["average", "max"] = "average"
    """How the larger layer is brought to the size of the smaller: by its average, or by its maximum, as in the paper."""

    @property
    def of_student(self) -> tuple[str, ...]:
        """Both layers of the student."""
        return self.student_layers

    @property
    def of_teacher(self) -> tuple[str, ...]:
        """Both layers of the teachers."""
        return self.teacher_layers

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean squared error."""
        del learned
        mine = [lesson.student_layers[name] for name in self.student_layers]
        theirs = [lesson.of_teacher(name) for name in self.teacher_layers]
        return losses.fsp((mine[0], mine[1]), (theirs[0], theirs[1]), pooling=self.pooling)
