"""The mean of the teachers' cosines between samples, turned into embeddings again by classical scaling (Torgerson, 1952).

    G(x, y) = sum_k sqrt(a_k(x) a_k(y)) cos(z_k(x), z_k(y)),   t(x) = row x of V sqrt(L),   G = V L V^T

a_k is the weight of teacher k, z_k(x) its embedding, L the largest eigenvalues of G, as many as an embedding has numbers, V their vectors.

Sources: Torgerson, "Multidimensional Scaling: I. Theory and Method" (Psychometrika 17, 1952); in place of distances, cosines are given,
which are inner products already. The mean of relations as what several teachers agree on is our own.

Axes of networks that were trained apart mean different things. The cosines of the mean of their embeddings have terms between different
teachers, which are noise; the mean of their cosines has none, and is not changed by a rotation of any teacher's space.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.teachers import spoken
from fedkd.losses.embeddings import cosines, from_cosines
from fedkd.losses.reductions import nonzero


@dataclass(frozen=True, kw_only=True)
class MeanRelations(Fusion):
    """Mean of the angles between samples, for embeddings of teachers that were trained apart; holds a square of the number of samples."""

    needs_classes: ClassVar[bool] = False
    needs_embeddings: ClassVar[bool] = True
    gives: ClassVar[Literal["logits", "probabilities"]] = "logits"

    def fuse(
        self, outputs: Float[Tensor, "teachers n width"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n width"]:
        """Return embeddings of length 1 whose cosines are nearly the mean of the teachers'.

        A teacher counts for a pair as far as it has spoken about both; of a pair that nobody has seen, the cosine is 0.
        """
        samples = outputs.shape[1]
        total, shared = (torch.zeros(samples, samples, dtype=torch.float64) for _ in range(2))
        for said, weight in zip(spoken(outputs, weights).double(), weights.double().sqrt(), strict=True):
            counts = torch.outer(weight, weight)
            total += counts * cosines(said)
            shared += counts
        return from_cosines(total / nonzero(shared), outputs.shape[2]).to(outputs.dtype)
