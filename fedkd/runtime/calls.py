"""Calls of a client app, wherever it runs: what a client is asked and keeps, and what comes of it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fedkd.knowledge.arrays import copied, filled
from fedkd.runtime.cohort_app import CohortApp
from fedkd.runtime.flower_internals import RUN_ID
from fedkd.runtime.values import Value

CLIENT_RAISED = 2
"""Flower's error code for a client app that raised."""

FIRST_NODE = 1000
"""Node id of partition 0, clear of the small ids that Flower gives to servers."""


class Kept(Protocol):
    """What a client keeps between rounds, wherever that is."""

    def content(self) -> RecordDict:
        """Return it; not to be changed."""


@dataclass(frozen=True)
class Here:
    """Something kept, in the memory of this process."""

    records: RecordDict

    def content(self) -> RecordDict:
        """Return it."""
        return self.records


NOTHING = Here(RecordDict())
"""What a client keeps that has kept nothing yet."""


@dataclass(frozen=True)
class Call:
    """What a client is asked, wherever its app runs.

    Args:
        client: its number.
        kind: type of the message.
        content: of the message; not to be changed.
        state: what the client kept from before.
        message: returns the message itself, for apps that want it.
    """

    client: int
    kind: str
    content: RecordDict
    state: Kept
    message: Callable[[], Message]


@dataclass(frozen=True)
class Answer:
    """What came of a call: what the client says, or what went wrong, and what it keeps; none is nothing at all."""

    said: RecordDict | Error
    state: Kept | None


def perform(
    app: ClientApp, calls: Sequence[Call], num_clients: int, run_config: Mapping[str, Value]
) -> list[Answer]:
    """Run the client app for a cohort; where it raises, or gives no reply, the client keeps what it had.

    An app that raises about a whole cohort is asked about each client alone, so that only those fail with whom it cannot go on.
    """
    if not isinstance(app, CohortApp):
        return [_perform_one(app, call, num_clients, run_config) for call in calls]
    # Such an app promises to leave contents alone, and replaces whole records of a state.
    contexts = [
        _context(call, filled(RecordDict(), call.state.content()), num_clients, run_config) for call in calls
    ]
    try:
        outcomes = app.together(calls[0].kind, [call.content for call in calls], contexts)
    except Exception as error:  # noqa: BLE001  (see _perform_one)
        if len(calls) == 1:
            return [_answer(calls[0], error, contexts[0])]
    else:
        return [
            _answer(call, outcome, context)
            for call, outcome, context in zip(calls, outcomes, contexts, strict=True)
        ]
    return [answer for call in calls for answer in perform(app, [call], num_clients, run_config)]


def _perform_one(app: ClientApp, call: Call, num_clients: int, run_config: Mapping[str, Value]) -> Answer:
    """Run any client app; it gets copies of the records: what it changes in them reaches neither another client nor a second attempt."""
    message = copy.copy(call.message())
    message.content = copied(call.content)
    context = _context(call, copied(call.state.content()), num_clients, run_config)
    try:
        reply = app(message, context)
    except Exception as error:  # noqa: BLE001  (the app is the user's: whatever it raises is that client's failure)
        return _answer(call, error, context)
    if not isinstance(reply, Message) or reply.metadata.src_node_id != message.metadata.dst_node_id:
        return _wrong(call, f"returned {type(reply).__name__}, expected a Message in reply to the one it got")
    return _answer(call, reply.error if reply.has_error() else reply.content, context)


def _context(call: Call, state: RecordDict, num_clients: int, run_config: Mapping[str, Value]) -> Context:
    return Context(
        run_id=RUN_ID,
        node_id=FIRST_NODE + call.client,
        node_config={"partition-id": call.client, "num-partitions": num_clients},
        state=state,
        run_config=dict(run_config),
    )


def _wrong(call: Call, reason: str) -> Answer:
    return Answer(Error(CLIENT_RAISED, reason), call.state)


def _answer(call: Call, outcome: RecordDict | Error | Exception, context: Context) -> Answer:
    if isinstance(outcome, Exception):
        return _wrong(call, f"{type(outcome).__name__}: {outcome}")
    state: object = context.state
    if not isinstance(state, RecordDict):
        return _wrong(call, f"left a {type(state).__name__} as its state, expected a RecordDict")
    before = call.state.content()
    if state.keys() == before.keys() and all(state[name] is record for name, record in before.items()):
        return Answer(outcome, call.state)
    return Answer(outcome, Here(state) if state else None)
