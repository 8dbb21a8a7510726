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

from jaxtyping import Float
from torch import Tensor

from fedkd.aggregation.coefficients import similar
from fedkd.foundation.options import Count, Positive
from fedkd.strategies._personal import PersonalStrategy


@dataclass(frozen=True, kw_only=True)
class SimilarityGraph(PersonalStrategy):
    """Answers about a public set cross; every client is taught what those say together who are like it."""

    neighbours: Count | None = None
    """How many others teach a client, the nearest by what they say; none is all of them."""

    temperature: Positive | None = None
    """Divergence in nats over which a neighbour counts e times less; none lets all neighbours count alike."""

    itself: bool = True
    """Whether a client's own answers count in what it is taught."""

    def chosen(
        self, rows: Float[Tensor, "n n"], said: Float[Tensor, "n samples classes"]
    ) -> Float[Tensor, "n n"]:
        """Return the coefficients of this round's graph; what they were before does not matter."""
        del rows
        return similar(said, neighbours=self.neighbours, temperature=self.temperature, itself=self.itself)
