"""Borda's count: the mean place in the teachers' rankings (Borda, 1781; for rankings of documents Aslam & Montague, SIGIR 2001).

    s(x, i) = sum_k a_k (n - r_k(x, i)) / n        t(x, i) = s(x, i)^b / sum_j s(x, j)^b

r_k(x, i) is the place of item i of n in the ranking of teacher k, a_k the teacher's weight, b the sharpness.

Source: "Models for Metasearch", section 3. Both give a ranking; that the target is the share of the points is our own.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions._ranks import RankFusion


@dataclass(frozen=True, kw_only=True)
class Borda(RankFusion):
    """Points fall evenly from the first place to the last, so that every teacher's whole ranking counts."""

    def points(self, places: Float[Tensor, "n items"]) -> Float[Tensor, "n items"]:
        """Return `(n - r) / n`, which of the last place is 0."""
        return (places.shape[-1] - places) / places.shape[-1]
