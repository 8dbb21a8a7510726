"""A Flower grid of ours: nodes are the partitions, in order; the driver owns what clients keep between rounds.

A subclass says how cohorts of jobs are carried out. Replies come in the order of the cohorts, which follow from the messages
alone, whatever order the work is done in: so nothing above can depend on how many workers there are.
"""

import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from flwr.app import Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedkd.foundation.consecutive import Consecutive
from fedkd.runtime.calls import CLIENT_RAISED, FIRST_NODE, NOTHING, Answer, Call, Here, Kept
from fedkd.runtime.cohort_app import CohortApp
from fedkd.runtime.flower_internals import empty_run, identify
from fedkd.runtime.values import Value

NO_ANSWER = 4
"""Flower's error code for a reply that cannot be had."""


@dataclass(frozen=True)
class Job:
    """One client's work: its number, the message it gets, and what it kept from before."""

    client: int
    message: Message
    state: Kept

    def call(self) -> Call:
        """Return what the client is asked."""
        kind = self.message.metadata.message_type
        return Call(self.client, kind, self.message.content, self.state, lambda: self.message)

    def done(self, answer: Answer) -> "Done":
        """Return what came of it, with a reply to the message."""
        return Done(self.client, Message(answer.said, reply_to=self.message), answer.state)


@dataclass(frozen=True)
class Done:
    """What came of a job: the reply, and what the client keeps; none is nothing at all."""

    client: int
    reply: Message
    state: Kept | None


def failed(job: Job, reason: str, code: int = CLIENT_RAISED) -> Done:
    """Return what comes of a job that went wrong: an error as the reply, and what the client had kept before."""
    return job.done(Answer(Error(code, reason), job.state))


class LocalGrid(Grid):
    """A grid whose nodes are simulated by us.

    Args:
        app: the client app.
        num_clients: how many partitions there are; each is a node.
        run_config: what Flower's context holds as `run_config`.
    """

    def __init__(self, app: ClientApp, num_clients: int, run_config: Mapping[str, Value]) -> None:
        identify()
        self.app, self.num_clients, self.run_config = app, num_clients, dict(run_config)
        self._run = empty_run()
        self._states: dict[int, Kept] = {}
        self._changed: set[int] = set()
        self._replies: dict[str, Message] = {}
        self._numbers = itertools.count()

    @abstractmethod
    def carry_out(self, cohorts: list[list[Job]], timeout: float | None) -> Iterator[Done]:
        """Do the jobs, cohort by cohort, and yield what came of them in the same order."""

    def close(self) -> None:
        """End everything that the grid started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def partitions(self) -> Mapping[int, int]:
        """Return the node of each partition."""
        return Consecutive(range(self.num_clients), FIRST_NODE)

    def take_changed_states(self) -> dict[int, RecordDict]:
        """Return what clients keep that has changed since the last call; an empty record means nothing is kept."""
        clients = sorted(self._changed)
        self._changed.clear()
        kept = [self._states.get(client, NOTHING) for client in clients]
        return dict(zip(clients, self._contents(kept), strict=True))

    def _contents(self, kept: Sequence[Kept]) -> list[RecordDict]:
        return [one.content() for one in kept]

    def load_states(self, states: Iterable[tuple[int, RecordDict]]) -> None:
        """Take up what clients kept, as `take_changed_states` gave it: each with its client."""
        self._states = {client: Here(state) for client, state in states}
        self._changed.clear()

    def set_run(self, run: Run) -> None:
        """Set the run's description."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run's description."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node (the older way; `Message(...)` does the same)."""
        return Message(
            content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl
        )

    def get_node_ids(self) -> Iterable[int]:
        """Return all node ids, in the order of their partitions."""
        return range(FIRST_NODE, FIRST_NODE + self.num_clients)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Carry out the messages and keep the replies until they are pulled."""
        names = []
        for reply in self.send_and_receive(messages):
            names.append(f"message-{next(self._numbers)}")
            self._replies[names[-1]] = reply
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to messages that were pushed; each is given once."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Yield the reply to each message as the work proceeds, in an order that follows from the messages alone."""
        jobs = []
        for message in messages:
            client = message.metadata.dst_node_id - FIRST_NODE
            if not 0 <= client < self.num_clients:
                raise ValueError(
                    f"no node {message.metadata.dst_node_id}: this grid has {self.num_clients} nodes from {FIRST_NODE}"
                )
            jobs.append(Job(client, message, self._states.get(client, NOTHING)))
        for done in self.carry_out(self._cohorts(jobs), timeout):
            self._keep(done)
            yield done.reply

    def _keep(self, done: Done) -> None:
        before = self._states.get(done.client)
        if done.state is (before or NOTHING) or (before is None and done.state is None):
            return
        self._states[done.client] = done.state or NOTHING
        self._changed.add(done.client)

    def _cohorts(self, jobs: Sequence[Job]) -> list[list[Job]]:
        if not isinstance(self.app, CohortApp):
            return [[job] for job in jobs]
        cohorts = []
        for kind in dict.fromkeys(job.message.metadata.message_type for job in jobs):
            mine = [job for job in jobs if job.message.metadata.message_type == kind]
            planned = self.app.cohorts(self.run_config, [job.client for job in mine])
            if sorted(itertools.chain(*planned)) != list(range(len(mine))):
                raise ValueError(f"cohorts {planned!r} do not hold each of {len(mine)} clients once")
            cohorts += [[mine[position] for position in cohort] for cohort in planned]
        return cohorts
