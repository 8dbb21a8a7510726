"""What every server strategy does alike: who takes part, in which order answers count, and which are usable.

Clients are known by the number of their partition, never by Flower's node ids, which Flower's engine draws at random,
and never by order of arrival: so a round is the same under every runtime.
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy
from torch import Tensor, nn

from fedkd.foundation.errors import RoundFailed
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import BadPackage
from fedkd.strategies._nodes import Roster, roster_of
from fedkd.strategies._replies import MeanMetrics, checked_size

Said = TypeVar("Said")


@dataclass(frozen=True)
class Failure:
    """A client that was left out of a round, and why."""

    client: int
    reason: str


@dataclass(frozen=True)
class Answer(Generic[Said]):
    """A usable reply: the client, how many samples it trained on, its records, and what was read from them."""

    client: int
    size: int
    content: RecordDict
    said: Said


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Who takes part in a round.

    Args:
        clients_per_round: how many clients take part in a round; none is all of them.
        min_clients: fewest usable answers that a round can go on with.
        num_clients: how many nodes must be there before the first round; none takes those that are.
        seed: root seed of the sampling, and of all other streams of the server.
        patience: seconds to wait for the nodes to connect.
    """

    clients_per_round: int | None = None
    min_clients: int = 1
    num_clients: int | None = None
    seed: int = 0
    patience: float = 120.0


class Federated(Strategy):
    """Samples clients by the named stream, takes replies one by one, and leaves out what cannot be used.

    Args:
        sampling: who takes part in a round; by default all who are there.
    """

    def __init__(self, sampling: Sampling | None = None) -> None:
        self.sampling = sampling or Sampling()
        self.streams = Streams(self.sampling.seed)
        self.failures: list[Failure] = []
        self._grid: Grid | None = None
        self._roster = Roster({})
        self._usable: list[int] = []

    def summary(self) -> None:
        """Say nothing: fedkd reports runs in its own way."""

    def client_of(self, node_id: int) -> int:
        """Return the partition that a node holds."""
        return self._roster.client_of[node_id]

    def participants(self, server_round: int, grid: Grid) -> list[int]:
        """Return the clients of a round, drawn without replacement and sorted."""
        everyone = self._connect(grid).clients
        wanted = (
            len(everyone)
            if self.sampling.clients_per_round is None
            else min(self.sampling.clients_per_round, len(everyone))
        )
        drawn = self.streams.numpy("sample-clients", round=server_round).choice(
            len(everyone), size=wanted, replace=False
        )
        return sorted(everyone[index] for index in drawn)

    def messages(self, contents: Mapping[int, RecordDict], kind: str) -> list[Message]:
        """Return one message for each client."""
        return [
            Message(content, dst_node_id=self._roster.node_of[client], message_type=kind)
            for client, content in contents.items()
        ]

    def broadcast(
        self,
        server_round: int,
        config: ConfigRecord,
        grid: Grid,
        records: Mapping[str, ArrayRecord | ConfigRecord],
    ) -> list[Message]:
        """Return train messages with the same content for every participant of the round."""
        self.failures = []
        options = ConfigRecord({**config, "server-round": server_round})
        content = RecordDict({**records, "config": options})
        return self.messages(dict.fromkeys(self.participants(server_round, grid), content), MessageType.TRAIN)

    def tell_each(
        self,
        server_round: int,
        config: ConfigRecord,
        grid: Grid,
        own: Callable[[int], Mapping[str, ArrayRecord | ConfigRecord]],
    ) -> list[Message]:
        """Return train messages with records of its own for every participant of the round."""
        self.failures = []
        options = ConfigRecord({**config, "server-round": server_round})
        contents = {
            client: RecordDict({**own(client), "config": options})
            for client in self.participants(server_round, grid)
        }
        return self.messages(contents, MessageType.TRAIN)

    def sift(self, replies: Iterable[Message], read: Callable[[Message], Said]) -> Iterator[Answer[Said]]:
        """Yield the usable replies as they come; the others are named in `failures`, which is sorted by client.

        Nothing is held of a reply once the next one is asked for, so a consumer that lets it go too holds one at a time. It must
        go on to the end, and its result must not depend on the order. Clients without samples have nothing to say: they are
        left out without being a failure, and are not looked into.

        Args:
            replies: what came back, in any order.
            read: returns what a reply says, or raises `BadPackage` for one that cannot be used.

        Raises:
            RoundFailed: at the end, if fewer than `min_clients` were usable.
        """
        usable = []
        for message in replies:
            client, answer = self.client_of(message.metadata.src_node_id), None
            try:
                if size := checked_size(message):
                    answer = Answer(client, size, message.content, read(message))
            except (BadPackage, EOFError, KeyError, TypeError, ValueError) as error:
                failure = Failure(client, " ".join(str(error).split()))
                bisect.insort(self.failures, failure, key=lambda failure: failure.client)
            del message
            if answer is not None:
                usable.append(client)
                yield answer
                del answer
        self._usable = sorted(usable)
        self._require_enough(len(usable))

    def _require_enough(self, usable: int) -> None:
        if usable < self.sampling.min_clients:
            named = "; ".join(
                f"client {failure.client}: {failure.reason[:300]}" for failure in self.failures[:3]
            )
            raise RoundFailed(
                f"only {usable} clients gave a usable answer, at least {self.sampling.min_clients} are needed"
                + (f" ({named})" if named else "")
            )

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the clients whose answers were used for their own metrics.

        With `config["splits"]`, which is fedkd's own evaluation, they judge the networks that they trained, on those
        splits too, with what `completed` adds; without, which is Flower's loop, those that `judged` hands out.
        """
        del grid
        options = ConfigRecord({**config, "server-round": server_round})
        if "splits" in config:
            contents = dict.fromkeys(self._usable, RecordDict({**self.completed(), "config": options}))
        else:
            contents = {
                client: RecordDict({**self.judged(client, arrays), "config": options})
                for client in self._usable
            }
        return self.messages(contents, MessageType.EVALUATE)

    def completed(self) -> Mapping[str, ArrayRecord]:
        """Return what clients lack to judge their own networks as they are used; by default nothing, they are whole."""
        return {}

    def judged(self, client: int, arrays: ArrayRecord) -> Mapping[str, ArrayRecord]:
        """Return the weights that a client is to judge in Flower's loop; by default none, it judges its own network."""
        del client, arrays
        return {}

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return each metric's mean over clients, by their number of held-out samples."""
        del server_round
        metrics = MeanMetrics()
        for reply in replies:
            if reply.has_content():
                metrics.add(reply.content)
        return metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return what the strategy must remember to go on after a restart, besides the student's weights."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up a remembered state."""

    def teacher_weights(self) -> Mapping[int, float] | None:
        """Return how much each client counted in the last round, on average over samples; none is alike."""
        return None

    def network_of(self, server_round: int, student: nn.Module) -> nn.Module:
        """Return a network that the weights of a round fit; by default the student, which is one and the same in all rounds."""
        del server_round
        return student

    def further(self) -> Mapping[str, nn.Module]:
        """Return networks that are reported beside the student, by scope."""
        return {}

    def accounts(self, server_round: int) -> Mapping[str, float]:
        """Return what is recorded of a round beside its failures, by name, such as the privacy that was spent so far."""
        del server_round
        return {}

    def _connect(self, grid: Grid) -> Roster:
        """Return who is there; a grid is asked once, since it may have very many nodes."""
        if grid is not self._grid:
            self._roster = roster_of(
                grid, at_least=self.sampling.num_clients or 1, patience=self.sampling.patience
            )
            self._grid = grid
        return self._roster
