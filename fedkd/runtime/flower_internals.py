"""The only place that touches what Flower does not promise to keep: its process identity and its wire format.

A test checks each against the installed version, so that an upgrade that moves them is noticed at once.
"""

from flwr.app import Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

RUN_ID = 1
SERVER_NODE_ID = 1


def identify(node_id: int = SERVER_NODE_ID) -> None:
    """Let this process make Flower messages outside Flower's own runtime."""
    TaskIdentity.task_id = 1
    TaskIdentity.run_id = RUN_ID
    TaskIdentity.node_id = node_id


def empty_run() -> Run:
    """Return the description of a run that Flower knows nothing of."""
    return Run.create_empty(RUN_ID)


def number(message: Message, name: str) -> None:
    """Give a message its id, which Flower's grid gives when a message is sent; a reply to it names that id."""
    message.metadata.__dict__["_message_id"] = name


def serialise(content: RecordDict) -> bytes:
    """Return the records of a message as they cross the wire."""
    return bytes(recorddict_to_proto(content).SerializeToString(deterministic=True))


def deserialise(data: bytes) -> RecordDict:
    """Return the records that `serialise` wrote."""
    return recorddict_from_proto(ProtoRecordDict.FromString(data))


def message_bytes(content: RecordDict) -> int:
    """Return the exact size of a message's serialised records; the envelope (ids, times) is not counted."""
    return int(recorddict_to_proto(content).ByteSize())
