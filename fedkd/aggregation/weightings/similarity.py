"""Teachers whose domain is like the proxy set's count more (after Ruder et al., 2017).

Source: Ruder et al., "Knowledge Adaptation: Teaching to Adapt" (2017) weighs each teacher by the similarity of its source domain to the target
domain, divided by the sum of all. Differs from the paper, whose domains are texts compared by the Jensen-Shannon divergence
of their terms: inputs here are images and tables, compared by the maximum mean discrepancy (Gretton et al., "A Kernel
Two-Sample Test", 2012) under a Gaussian kernel, whose square is at most 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.teachers import Form, Teachers, Witness
from fedkd.aggregation.weightings._inputs import vectors
from fedkd.aggregation.weightings.base import LoneWeighting
from fedkd.foundation.options import Count


@dataclass(frozen=True, kw_only=True)
class Similarity(LoneWeighting):
    """`s_k / sum_j s_j` with `s_k = 1 - MMD^2(client k, proxy set) / 2`, which each client measures and sends."""

    samples: Count = 500
    """Samples of each side that are compared, spread evenly over all."""

    @property
    def sends(self) -> Mapping[str, Form]:
        """One number."""
        return {"similarity": "number"}

    def testify(
        self, client: Witness, ids: Int[Tensor, " m"], generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Return the similarity, from 0 to 1; 0 for a client without samples."""
        del generator
        own, public = (self._some(vectors(samples)) for samples in (client.private(), client.public(ids)))
        similarity = 1.0 - 0.5 * squared_mmd(own, public) if len(own) and len(public) else 0.0
        return {"similarity": torch.tensor(similarity)}

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the similarity, the same on every sample."""
        return teachers.each(teachers.sent["similarity"])

    def _some(self, rows: Float[Tensor, "n features"]) -> Float[Tensor, "m features"]:
        if len(rows) <= self.samples:
            return rows
        return rows[torch.linspace(0, len(rows) - 1, self.samples).long()]


def squared_mmd(own: Float[Tensor, "own features"], public: Float[Tensor, "public features"]) -> float:
    """Return the squared maximum mean discrepancy of two samples, from 0 to 2.

    The kernel is `exp(-d^2 / m)` with the median m of the squared distances within the public samples, so that it is the same for
    every client; where those are all alike, m is 1. It is the estimate that compares samples with themselves too, which is never negative.
    """
    within = torch.cdist(public, public).square()
    apart = within[~torch.eye(len(public), dtype=torch.bool)]
    median = float(apart.median()) if len(apart) else 0.0
    width = median if median > 0 else 1.0
    means = [
        torch.exp(-torch.cdist(one, other).square() / width).mean()
        for one, other in ((own, own), (public, public), (own, public))
    ]
    return max(float(means[0] + means[1] - 2.0 * means[2]), 0.0)
