"""Teachers count by how many samples they have seen, as in FedAvg (McMahan et al., 2017)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.teachers import Teachers
from fedkd.aggregation.weightings.base import LoneWeighting


@dataclass(frozen=True, kw_only=True)
class Size(LoneWeighting):
    """n_k / sum n for teacher k with n_k training samples."""

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return n_k, the same on every sample."""
        return teachers.each(teachers.sizes)
