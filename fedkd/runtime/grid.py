"""A Flower grid of ours: nodes are the partitions, in order; the driver owns what clients keep between rounds.

A subclass says how a batch of jobs is carried out. Replies come in the order of the messages, whatever order the work is
done in, so nothing above can depend on how many workers there are.
"""

import copy
import itertools
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedkd.runtime.flower_internals import RUN_ID, empty_run, identify

Value = bool | int | float | str
CLIENT_RAISED = 2
"""Flower's error code for a client app that raised."""

NO_ANSWER = 4
"""Flower's error code for a reply that cannot be had."""

FIRST_NODE = 1000
"""Node id of partition 0, clear of the small ids that Flower gives to servers."""


@dataclass(frozen=True)
class Job:
    """One client's work: its number, the message it gets, and what it kept from before."""

    client: int
    message: Message
    state: RecordDict


@dataclass(frozen=True)
class Done:
    """What came of a job: the reply, and what the client keeps."""

    client: int
    reply: Message
    state: RecordDict


def failed(job: Job, reason: str, code: int = CLIENT_RAISED) -> Done:
    """Return what comes of a job that went wrong: an error as the reply, and what the client had kept before."""
    return Done(job.client, Message(Error(code, reason), reply_to=job.message), job.state)


def perform(app: ClientApp, job: Job, num_clients: int, run_config: Mapping[str, Value]) -> Done:
    """Run the client app on one message; an app that raises, or returns no reply, gives an error and keeps what it had.

    The app gets copies of the records: what it changes in them reaches neither another client nor a second attempt.
    """
    message = copy.copy(job.message)
    message.content = _copied(job.message.content)
    context = Context(
        run_id=RUN_ID,
        node_id=FIRST_NODE + job.client,
        node_config={"partition-id": job.client, "num-partitions": num_clients},
        state=_copied(job.state),
        run_config=dict(run_config),
    )
    try:
        reply = app(message, context)
    except Exception as error:  # noqa: BLE001  (the app is the user's: whatever it raises is that client's failure)
        return failed(job, f"{type(error).__name__}: {error}")
    if not isinstance(reply, Message) or reply.metadata.src_node_id != job.message.metadata.dst_node_id:
        return failed(job, f"returned {type(reply).__name__}, expected a Message in reply to the one it got")
    state: object = context.state
    if not isinstance(state, RecordDict):
        return failed(job, f"left a {type(state).__name__} as its state, expected a RecordDict")
    return Done(job.client, reply, state)


def _copied(records: RecordDict) -> RecordDict:
    return RecordDict({name: record.copy() for name, record in records.items()})


class LocalGrid(Grid):
    """A grid whose nodes are simulated by us.

    Args:
        num_clients: how many partitions there are; each is a node.
        run_config: what Flower's context holds as `run_config`.
    """

    def __init__(self, num_clients: int, run_config: Mapping[str, Value]) -> None:
        identify()
        self.num_clients, self.run_config = num_clients, dict(run_config)
        self._run = empty_run()
        self._states: dict[int, RecordDict] = {}
        self._changed: set[int] = set()
        self._replies: dict[str, Message] = {}
        self._numbers = itertools.count()

    @abstractmethod
    def carry_out(self, jobs: list[Job], timeout: float | None) -> Iterator[Done]:
        """Do the jobs and yield what came of them in the same order."""

    def close(self) -> None:
        """End everything that the grid started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def partitions(self) -> Mapping[int, int]:
        """Return the node of each partition."""
        return {client: FIRST_NODE + client for client in range(self.num_clients)}

    def take_changed_states(self) -> dict[int, RecordDict]:
        """Return what clients keep that has changed since the last call; an empty record means nothing is kept."""
        changed = {client: self._states.get(client, RecordDict()) for client in sorted(self._changed)}
        self._changed.clear()
        return changed

    def load_states(self, states: Mapping[int, RecordDict]) -> None:
        """Take up what clients kept, as `take_changed_states` gave it."""
        self._states = dict(states)
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
        """Yield the reply to each message, in the messages' order, as the work proceeds."""
        jobs = []
        for message in messages:
            client = message.metadata.dst_node_id - FIRST_NODE
            if not 0 <= client < self.num_clients:
                raise ValueError(
                    f"no node {message.metadata.dst_node_id}: this grid has {self.num_clients} nodes from {FIRST_NODE}"
                )
            jobs.append(Job(client, message, self._states.get(client, RecordDict())))
        for done in self.carry_out(jobs, timeout):
            if done.state or done.client in self._states:
                self._states[done.client] = done.state
                self._changed.add(done.client)
            yield done.reply
