"""The class that most teachers name once noise is added to the votes, GNMax of PATE (Papernot et al., 2018).

Source: "Scalable Private Learning with PATE" (ICLR 2018), section 4.1: `argmax_c n_c + N(0, sigma^2)`. What it costs in
privacy is recorded in every round (`fedkd.aggregation.privacy`). The paper's selection of the queries whose teachers agree
(Confident-GNMax) is not made: every sample is answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from fedkd.aggregation.fusions.base import RandomFusion, log_probability
from fedkd.aggregation.privacy import gnmax_epsilon
from fedkd.foundation.options import NonNegative


@dataclass(frozen=True, kw_only=True)
class NoisyVote(RandomFusion):
    """All probability on the class with most votes, after normal noise on the number of votes of each class.

    It needs many more teachers than `sigma` to be of use, and says something about the privacy of a teacher only where no sample
    belongs to two.
    """

    sigma: NonNegative = 1.0
    """Standard deviation of the noise, in votes; 0 is the majority vote. The paper takes 40 for 250 teachers."""

    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """The delta at which epsilon is recorded."""

    needs_equal_weights: ClassVar[bool] = True

    def accounts(self, samples: int) -> Mapping[str, float]:
        """Return the epsilon of the votes on so many samples."""
        return {"epsilon": gnmax_epsilon(sigma=self.sigma, queries=samples, delta=self.delta)}

    def draw(
        self,
        outputs: Float[Tensor, "teachers n classes"],
        weights: Float[Tensor, "teachers n"],
        generator: torch.Generator,
    ) -> Float[Tensor, "n classes"]:
        """Return the logarithm of 1 for the winner and 0 for the others; who weighs 0 does not vote."""
        votes = F.one_hot(outputs.argmax(dim=-1), outputs.shape[-1]).double()
        counts = (votes * (weights > 0)[..., None]).sum(dim=0)
        noise = torch.randn(counts.shape, generator=generator, dtype=torch.float64)
        winner = (counts + self.sigma * noise).argmax(dim=-1)
        return log_probability(F.one_hot(winner, outputs.shape[-1]).double()).to(outputs.dtype)
