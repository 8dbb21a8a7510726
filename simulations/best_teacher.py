"""One teacher in place of several: the one that is best on validation data. Used by name: `method.weighting=simulations.best_teacher:Best`."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from fedkd.aggregation.teachers import Need, Teachers
from fedkd.aggregation.weightings.base import Weighting


@dataclass(frozen=True, kw_only=True)
class Best(Weighting):
    """All the weight to the teacher with the best score on validation data, of equals to the first."""

    @property
    def needs(self) -> frozenset[Need]:
        """The teachers' scores."""
        return frozenset({"validation"})

    def weigh(self, teachers: Teachers) -> Tensor:
        """Return 1 for the best teacher, 0 for the others [teachers, n]."""
        assert teachers.scores is not None
        best = F.one_hot(teachers.scores.argmax(), len(teachers.scores))
        return teachers.each(best.to(teachers.outputs.dtype))
