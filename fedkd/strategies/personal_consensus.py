"""A consensus of its own for every client, with learned coefficients (KT-pFL).

Zhang et al., "Parameterized Knowledge Transfer for Personalized Federated Learning" (NeurIPS 2021), Algorithm 1: client k is taught
a mixture t_k of all clients' answers p_m about the public samples, and the server learns its coefficients
(`fedkd.aggregation.coefficients`). There is no student.

    t_k(x) = sum_m c_km p_m(x)
    c_k <- c_k - lr * gradient of [ mean_x KL(t_k(x) || p_k(x)) + rho |c_k - 1/K|^2 ]

Differs from the paper: rows of c are kept distributions; where only some clients answer, their coefficients are divided by their sum.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.coefficients import learned
from fedkd.data.samples import Samples
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count, NonNegative, Positive
from fedkd.knowledge.codecs.base import Codec
from fedkd.strategies._federated import Sampling
from fedkd.strategies._personal import Personal
from fedkd.strategies.base import ServerSide, ServerStrategy


class KTpFL(Personal):
    """Learns the coefficients by gradient steps.

    Args:
        proxy: the public samples, whose ids both sides know.
        num_classes: number of classes, C.
        clients: number of clients, K, whose partitions are 0 to K - 1.
        rho: how strongly coefficients are drawn towards 1/K.
        lr: length of a step of the coefficients.
        steps: steps of the coefficients in a round.
        codec: how a consensus is sent.
        samples_per_round: how many proxy samples each round is about; none is all of them.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        proxy: Samples,
        num_classes: int,
        clients: int,
        rho: float = 0.7,
        lr: float = 0.1,
        steps: int = 1,
        codec: Codec | None = None,
        samples_per_round: int | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(
            proxy=proxy,
            num_classes=num_classes,
            clients=clients,
            codec=codec,
            samples_per_round=samples_per_round,
            sampling=sampling,
        )
        self.rho, self.lr, self.steps = rho, lr, steps

    def chosen(
        self, rows: Float[Tensor, "n n"], said: Float[Tensor, "n samples classes"]
    ) -> Float[Tensor, "n n"]:
        """Return the coefficients after the steps of a round."""
        for _ in range(self.steps):
            rows = learned(rows, said, lr=self.lr, rho=self.rho)
        return rows


@dataclass(frozen=True, kw_only=True)
class PersonalConsensus(ServerStrategy):
    """Answers about a public set cross; every client is taught a mixture with coefficients of its own, which are learned."""

    rho: NonNegative = 0.7
    """How strongly coefficients are drawn towards 1/K; the larger, the nearer to a mean over all clients."""

    lr: Positive = 0.1
    """Length of a step of the coefficients; `2 lr rho` is at most 1, or the pull would overshoot."""

    steps: Count = 1
    """Steps of the coefficients in a round."""

    samples_per_round: Count | None = None
    """Proxy samples that a round is about, drawn anew each round; none is the whole proxy set."""

    takes: ClassVar[tuple[str | None, ...]] = ("logits", "probabilities")
    by_class: ClassVar[bool] = True
    needs_proxy: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    has_student: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse steps so long that the pull towards 1/K goes beyond it."""
        if 2.0 * self.lr * self.rho > 1.0:
            raise InvalidOption(
                "method.strategy.lr",
                self.lr,
                f"at most 1 / (2 rho) = {0.5 / self.rho:g} with rho={self.rho:g}",
            )

    def create(self, side: ServerSide) -> KTpFL:
        """Return the Flower strategy."""
        assert side.proxy is not None
        return KTpFL(
            proxy=side.proxy,
            num_classes=side.num_outputs,
            clients=len(side.architecture_of),
            rho=self.rho,
            lr=self.lr,
            steps=self.steps,
            codec=side.codec,
            samples_per_round=self.samples_per_round,
            sampling=side.sampling,
        )
