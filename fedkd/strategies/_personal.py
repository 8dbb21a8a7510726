"""A server that sends every client a consensus of its own: a mixture of all answers with coefficients that a rule chooses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.coefficients import personal
from fedkd.data.samples import Samples
from fedkd.foundation.options import Count
from fedkd.knowledge import BadPackage, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.strategies._federated import Federated, Sampling
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.base import ServerSide, ServerStrategy

Rule = Callable[[Float[Tensor, "n n"], Float[Tensor, "n samples classes"]], Float[Tensor, "n n"]]
"""Returns how much each client that answered is to learn from each other one, in rows that sum to 1: of what it was so far, and of the
probabilities that each said about the samples of the round."""


class Personal(Federated):
    """Asks clients about proxy samples, and sends each the mixture of the answers that suits it.

    Args:
        proxy: the public samples, whose ids both sides know.
        num_classes: number of classes, C.
        clients: number of clients, K, whose partitions are 0 to K - 1.
        rule: chooses the coefficients after each round, as `PersonalConsensus().chosen` and `SimilarityGraph().chosen` do.
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
        rule: Rule,
        codec: Codec | None = None,
        samples_per_round: int | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.proxy, self.num_classes, self.codec = proxy, num_classes, codec or Float32()
        self.rule, self.samples_per_round = rule, samples_per_round
        self.coefficients = torch.full((clients, clients), 1.0 / clients, dtype=torch.float64)
        self._asked = torch.arange(len(proxy))
        self._clients = torch.empty(0, dtype=torch.long)  # who answered in the last round, and what
        self._said = torch.empty(0, 0, num_classes)
        self._ids = torch.empty(0, dtype=torch.long)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client its consensus of the last round, and ask about this round's proxy samples."""
        del arrays
        self._asked = self._draw(server_round)
        asked = ArrayRecord({"ids": Array(self.proxy.ids[self._asked].numpy())})

        def own(client: int) -> Mapping[str, ArrayRecord | ConfigRecord]:
            ask = {} if self.samples_per_round is None else {"ask": asked}
            return {**ask, **(to_records(self._for(client), self.codec) if len(self._clients) else {})}

        return self.tell_each(server_round, config, grid, own)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Choose the coefficients of those who answered, and remember what they said; there is no student."""
        del server_round
        metrics, said = MeanMetrics(), dict[int, Tensor]()
        for answer in self.sift(replies, self._read):
            said[answer.client] = answer.said
            metrics.add(answer.content)
            del answer  # else it would be held until the next one is there
        if said:
            self._clients = torch.tensor(sorted(said))
            self._said = torch.stack([said[client] for client in sorted(said)])
            self._ids = self.proxy.ids[self._asked]
            self._choose()
        return None, metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return the coefficients, and the answers of the last round."""
        return {
            "coefficients": self.coefficients,
            "clients": self._clients,
            "said": self._said,
            "ids": self._ids,
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the coefficients and the answers."""
        self.coefficients, self._clients = state["coefficients"], state["clients"]
        self._said, self._ids = state["said"], state["ids"]

    def teacher_weights(self) -> Mapping[int, float] | None:
        """Return how much those who answered in the last round listen to each client, on average."""
        heard = self._shares(self._clients).mean(dim=0)
        return dict(zip(self._clients.tolist(), heard.tolist(), strict=True))

    def _choose(self) -> None:
        clients = self._clients
        rows = self.rule(self._shares(clients), self._said)
        # Of the coefficients of these clients only those for each other change; together they keep what they have.
        kept = self.coefficients[clients][:, clients].sum(dim=1, keepdim=True)
        self.coefficients = self.coefficients.index_put((clients[:, None], clients), rows * kept)

    def _shares(self, of: Int[Tensor, " n"]) -> Float[Tensor, "n teachers"]:
        """Return the coefficients that clients have for those who answered, as distributions; 1 for nobody becomes 1 for all."""
        rows = self.coefficients[of][:, self._clients]
        total = rows.sum(dim=1, keepdim=True)
        alike = torch.full_like(rows, 1.0 / max(rows.shape[1], 1))
        return torch.where(total > 0, rows / torch.where(total > 0, total, 1.0), alike)

    def _for(self, client: int) -> Package:
        mixture = personal(self._shares(torch.tensor([client])), self._said.double())[0].float()
        return Package("probabilities", {"values": mixture}, ids=self._ids)

    def _draw(self, server_round: int) -> Int[Tensor, " n"]:
        if self.samples_per_round is None:
            return torch.arange(len(self.proxy))
        order = torch.randperm(len(self.proxy), generator=self.streams.torch("ask", round=server_round))
        return order[: self.samples_per_round].sort().values

    def _read(self, message: Message) -> Float[Tensor, "n classes"]:
        package = from_records(message.content)
        asked = self.proxy.ids[self._asked]
        if package.kind not in {"logits", "probabilities"}:
            raise BadPackage(f"sent {package.kind}, expected logits or probabilities")
        package.require(package.kind, (len(asked), self.num_classes))
        if package.ids is None or not torch.equal(package.ids, asked):
            raise BadPackage(
                "sent answers about other samples than those it was asked about, or in another order"
            )
        return F.softmax(package.scores().float(), dim=-1)


@dataclass(frozen=True, kw_only=True)
class PersonalStrategy(ServerStrategy, ABC):
    """Base of the parts of such a server: a subclass has the options of its rule, and is it."""

    samples_per_round: Count | None = None
    """Proxy samples that a round is about, drawn anew each round; none is the whole proxy set."""

    takes: ClassVar[tuple[str | None, ...]] = ("logits", "probabilities")
    needs_proxy: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True
    has_student: ClassVar[bool] = False

    @abstractmethod
    def chosen(
        self, rows: Float[Tensor, "n n"], said: Float[Tensor, "n samples classes"]
    ) -> Float[Tensor, "n n"]:
        """Return how much each client that answered is to learn from each other one; rows sum to 1.

        Args:
            rows: what it was so far.
            said: probabilities of each about the samples of the round.
        """

    def asks_about(self, count: int) -> int:
        """Return how many samples are drawn."""
        return count if self.samples_per_round is None else self.samples_per_round

    def create(self, side: ServerSide) -> Personal:
        """Return the Flower strategy."""
        assert side.proxy is not None
        return Personal(
            proxy=side.proxy,
            num_classes=side.num_outputs,
            clients=len(side.architecture_of),
            rule=self.chosen,
            codec=side.codec,
            samples_per_round=self.samples_per_round,
            sampling=side.sampling,
        )
