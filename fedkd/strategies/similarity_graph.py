"""A consensus of its own for every client, from those who are like it in what they say of public samples (SQMD).

Ye et al., "Heterogeneous Collaborative Learning for Personalized Healthcare Analytics via Messenger Distillation" (IEEE JBHI 2023): the
server keeps a graph between clients, which joins each to its nearest by what they say, and teaches each the mean of its neighbours
(`fedkd.aggregation.coefficients`). There is no student. With d_km the divergence from client k to client m and N(k) the neighbours of k:

    d_km = mean_x KL(p_m(x) || p_k(x)),   c_km = exp(-d_km / temperature) / sum over N(k),   t_k(x) = sum_m c_km p_m(x)

Differs from the paper: no choice of neighbours by quality, for which the public samples would need labels. Not in the paper: the temperature
(none is the paper's plain mean), and that clients may count themselves. With all as neighbours, the client too, and no temperature, it is
one mean for all.
"""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.coefficients import similar
from fedkd.data.samples import Samples
from fedkd.foundation.options import Count, Positive
from fedkd.knowledge.codecs.base import Codec
from fedkd.strategies._federated import Sampling
from fedkd.strategies._personal import Personal
from fedkd.strategies.base import ServerSide, ServerStrategy


class SQMD(Personal):
    """Lets coefficients follow from how alike clients' answers are.

    Args:
        proxy: the public samples, whose ids both sides know.
        num_classes: number of classes, C.
        clients: number of clients, K, whose partitions are 0 to K - 1.
        neighbours: how many others teach each client; none is all.
        temperature: divergence over which a neighbour counts e times less; none lets all count alike.
        itself: whether a client's own answers count in what it is taught.
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
        neighbours: int | None = None,
        temperature: float | None = None,
        itself: bool = True,
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
        self.neighbours, self.temperature, self.itself = neighbours, temperature, itself

    def chosen(
        self, rows: Float[Tensor, "n n"], said: Float[Tensor, "n samples classes"]
    ) -> Float[Tensor, "n n"]:
        """Return the coefficients of this round's graph; what they were before does not matter."""
        del rows
        return similar(said, neighbours=self.neighbours, temperature=self.temperature, itself=self.itself)


@dataclass(frozen=True, kw_only=True)
class SimilarityGraph(ServerStrategy):
    """Answers about a public set cross; every client is taught what those say together who are like it."""

    neighbours: Count | None = None
    """How many others teach a client, the nearest by what they say; none is all of them."""

    temperature: Positive | None = None
    """Divergence in nats over which a neighbour counts e times less; none lets all neighbours count alike."""

    itself: bool = True
    """Whether a client's own answers count in what it is taught."""

    samples_per_round: Count | None = None
    """Proxy samples that a round is about, drawn anew each round; none is the whole proxy set."""

    takes: ClassVar[tuple[str | None, ...]] = ("logits", "probabilities")
    needs_proxy: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    has_student: ClassVar[bool] = False

    def create(self, side: ServerSide) -> SQMD:
        """Return the Flower strategy."""
        assert side.proxy is not None
        return SQMD(
            proxy=side.proxy,
            num_classes=side.num_outputs,
            clients=len(side.architecture_of),
            neighbours=self.neighbours,
            temperature=self.temperature,
            itself=self.itself,
            codec=side.codec,
            samples_per_round=self.samples_per_round,
            sampling=side.sampling,
        )
