"""Reciprocal rank fusion: Cormack, Clarke & Buettcher (SIGIR 2009).

    s(x, i) = sum_k a_k / (c + r_k(x, i))        t(x, i) = s(x, i)^b / sum_j s(x, j)^b

r_k(x, i) is the place of item i in the ranking of teacher k, a_k the teacher's weight, c a constant, b the sharpness.

Source: "Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning Methods", the only equation. The paper gives a ranking, for
which scores are enough, and its rankers count alike; that the target is the share of the scores is our own.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions._ranks import RankFusion
from fedkd.foundation.options import NonNegative


@dataclass(frozen=True, kw_only=True)
class ReciprocalRank(RankFusion):
    """Points fall with the reciprocal of the place, so that what some teacher ranks very high counts."""

    constant: NonNegative = 60.0
    """How little the first places stand out; the paper's is 60."""

    def points(self, places: Float[Tensor, "n items"]) -> Float[Tensor, "n items"]:
        """Return `1 / (c + r)`."""
        return (self.constant + places).reciprocal()
