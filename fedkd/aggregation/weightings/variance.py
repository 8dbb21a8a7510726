"""Teachers whose scores differ much between classes count more, FedET (Cho et al., 2022).

Source: "Heterogeneous Ensemble Knowledge Transfer for Training Large Models in Federated Learning" (IJCAI 2022): the
weight of a client on a sample is the variance of its logits over the classes, divided by the sum of all clients'.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.teachers import Fault, Teachers
from fedkd.aggregation.weightings.base import LoneWeighting


@dataclass(frozen=True, kw_only=True)
class Variance(LoneWeighting):
    """`var(z_k) / sum_j var(z_j)` with the variance of teacher k's logits over the classes, sample by sample."""

    needs_classes: ClassVar[bool] = True
    compares_classes: ClassVar[bool] = True

    @property
    def spots(self) -> frozenset[Fault]:
        """A teacher that knows nothing."""
        return frozenset({"ignorance"})

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the variance; it is the same for logits and for their log-probabilities."""
        return teachers.outputs.var(dim=-1, correction=0)
