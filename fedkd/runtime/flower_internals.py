"""The only place that touches what Flower does not promise to keep: its process identity and its wire format.

A test checks each against the installed version, so that an upgrade that moves them is noticed at once.
"""

import functools
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedkd.knowledge.arrays import LocalArray

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
    """Return the exact size of a message's serialised records; the envelope (ids, times) is not counted.

    Records add up. That of local arrays follows from their names, types and shapes, so it is measured once for each form.
    """
    return sum(_record_bytes(name, record) for name, record in content.items())


def _record_bytes(name: str, record: ArrayRecord | ConfigRecord | MetricRecord) -> int:
    if isinstance(record, ArrayRecord) and all(type(array) is LocalArray for array in record.values()):
        return _array_bytes(name, tuple((key, array.dtype, array.shape) for key, array in record.items()))
    if isinstance(record, ArrayRecord):
        return int(recorddict_to_proto(RecordDict({name: record})).ByteSize())
    try:
        # A float takes the same room whatever it is; of everything else the size depends on the value.
        values = tuple(
            (key, type(value), 0.5 if type(value) is float else value) for key, value in record.items()
        )
        return _plain_bytes(name, type(record), values)
    except TypeError:  # a list, which has no hash
        return int(recorddict_to_proto(RecordDict({name: record})).ByteSize())


@functools.lru_cache(maxsize=4096)
def _plain_bytes(
    name: str, kind: type[ConfigRecord | MetricRecord], values: tuple[tuple[str, type, Any], ...]
) -> int:
    record = kind({key: value for key, _, value in values})
    return int(recorddict_to_proto(RecordDict({name: record})).ByteSize())


@functools.lru_cache(maxsize=1024)
def _array_bytes(name: str, form: tuple[tuple[str, str, tuple[int, ...]], ...]) -> int:
    record = ArrayRecord({key: Array(np.zeros(shape, dtype)) for key, dtype, shape in form})
    return int(recorddict_to_proto(RecordDict({name: record})).ByteSize())
