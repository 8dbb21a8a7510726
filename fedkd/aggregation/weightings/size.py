"""Teachers count by how many samples they have seen, as in FedAvg (McMahan et al., 2017)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.weightings.base import Weighting


@dataclass(frozen=True, kw_only=True)
class Size(Weighting):
    """n_k / sum n for teacher k with n_k training samples."""

    def weigh(
        self, outputs: Float[Tensor, "teachers n outputs"], sizes: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "teachers n"]:
        """Return each teacher's share of all training samples, the same on every proxy sample."""
        shares = (sizes / sizes.sum()).to(outputs.dtype)
        return shares[:, None].repeat(1, outputs.shape[1])
