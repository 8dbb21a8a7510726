"""A consensus of its own for every client, with learned coefficients (KT-pFL).

Zhang et al., "Parameterized Knowledge Transfer for Personalized Federated Learning" (NeurIPS 2021), Algorithm 1: client k is taught
a mixture t_k of all clients' answers p_m about the public samples, and the server learns its coefficients
(`fedkd.aggregation.coefficients`). There is no student.

    t_k(x) = sum_m c_km p_m(x)
    c_k <- c_k - lr * gradient of [ mean_x KL(t_k(x) || p_k(x)) + rho |c_k - 1/K|^2 ]

Differs from the paper: rows of c are kept distributions: each becomes the nearest one after a step (`projection: simplex`), or, as in the
authors' code, the softmax of five times itself (`softmax`). That code also takes squared differences in place of the KL, and a step whose
length goes by the size of the gradient, neither of which is here. Where only some clients answer, their coefficients are divided by their sum.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.coefficients import Projection, learned
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count, NonNegative, Positive
from fedkd.strategies._personal import PersonalStrategy


@dataclass(frozen=True, kw_only=True)
class PersonalConsensus(PersonalStrategy):
    """Answers about a public set cross; every client is taught a mixture with coefficients of its own, which are learned."""

    rho: NonNegative = 0.7
    """How strongly coefficients are drawn towards 1/K; the larger, the nearer to a mean over all clients."""

    lr: Positive = 0.1
    """Length of a step of the coefficients; `2 lr rho` is at most 1, or the pull would overshoot."""

    steps: Count = 1
    """Steps of the coefficients in a round."""

    projection: Projection = "simplex"
    """How coefficients become a distribution again after a step: the nearest one, or by a `softmax` of five times the row (the authors' code)."""

    def __post_init__(self) -> None:
        """Refuse steps so long that the pull towards 1/K goes beyond it."""
        if 2.0 * self.lr * self.rho > 1.0:
            raise InvalidOption(
                "method.strategy.lr",
                self.lr,
                f"at most 1 / (2 rho) = {0.5 / self.rho:g} with rho={self.rho:g}",
            )

    def chosen(
        self, rows: Float[Tensor, "n n"], said: Float[Tensor, "n samples classes"]
    ) -> Float[Tensor, "n n"]:
        """Return the coefficients after the steps of a round."""
        for _ in range(self.steps):
            rows = learned(rows, said, lr=self.lr, rho=self.rho, projection=self.projection)
        return rows
