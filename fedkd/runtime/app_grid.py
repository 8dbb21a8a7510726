"""What apps written for Flower's own grid rely on, over a grid of ours.

Flower's grid gives replies as a list, which its own strategies go over more than once, and takes calls from many threads at once,
which is how apps in the style of `NumPyClient` send their messages. Ours yields replies as they come, to one caller.
"""

import itertools
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedkd.knowledge.arrays import copied
from fedkd.runtime.flower_internals import number
from fedkd.runtime.grid import LocalGrid


@dataclass(frozen=True)
class _Call:
    """Messages that one thread sent and waits for."""

    messages: list[Message]
    timeout: float | None
    outcome: Future[list[Message]] = field(default_factory=Future)


class AppGrid(Grid):
    """A grid of ours as a foreign app knows Flower's: thread-safe, with numbered messages and lists of replies.

    What threads send while others are being served goes out together, so workers are busy although each thread waits for one client.
    Of several messages to one node, each finds the state that the one before it left.

    Args:
        grid: carries the messages.
    """

    def __init__(self, grid: LocalGrid) -> None:
        self._grid = grid
        self._numbers = itertools.count(1)
        self._replies: dict[str, Message] = {}
        self._waiting: deque[_Call] = deque()
        self._turn = threading.Lock()

    def partitions(self) -> Mapping[int, int]:
        """Return the node of each partition."""
        return self._grid.partitions()

    def set_run(self, run: Run) -> None:
        """Set the run's description."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run's description."""
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node (the older way; `Message(...)` does the same)."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> list[int]:
        """Return all node ids, in the order of their partitions."""
        return list(self._grid.get_node_ids())

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Carry out the messages, keep the replies until they are pulled, and return the messages' ids."""
        replies = self.send_and_receive(messages)
        names = [reply.metadata.reply_to_message_id for reply in replies]
        self._replies.update(zip(names, replies, strict=True))
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to messages that were pushed; each is given once."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Return the replies in the messages' order; one that did not come in time is an error."""
        call = _Call(list(messages), timeout)
        for message in call.messages:
            number(message, str(next(self._numbers)))
        self._waiting.append(call)
        with self._turn:
            if not call.outcome.done():
                self._serve()
        return call.outcome.result()

    def _serve(self) -> None:
        """Serve all who wait, those with the same timeout together."""
        calls = [self._waiting.popleft() for _ in range(len(self._waiting))]
        for timeout in dict.fromkeys(call.timeout for call in calls):
            together = [call for call in calls if call.timeout == timeout]
            try:
                replies = self._carry_out([one for call in together for one in call.messages], timeout)
            except BaseException as error:  # noqa: BLE001  (each thread that waits raises it)
                for call in together:
                    call.outcome.set_exception(error)
            else:
                for call in together:
                    call.outcome.set_result([replies[one.metadata.message_id] for one in call.messages])

    def _carry_out(self, messages: list[Message], timeout: float | None) -> dict[str, Message]:
        """Return the reply to each message by the message's id."""
        replies: dict[str, Message] = {}
        while messages:
            first: dict[int, Message] = {}
            for message in messages:
                first.setdefault(message.metadata.dst_node_id, message)
            for reply in self._grid.send_and_receive(list(first.values()), timeout=timeout):
                number(reply, str(next(self._numbers)))
                if reply.has_content():
                    # Strategies take replies apart; a record that the client also kept must stay whole.
                    reply.content = copied(reply.content)
                replies[reply.metadata.reply_to_message_id] = reply
            messages = [one for one in messages if one is not first[one.metadata.dst_node_id]]
        return replies
