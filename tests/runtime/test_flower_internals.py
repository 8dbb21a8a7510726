"""What the installed version of Flower must still have, though it does not promise it."""

import dataclasses

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from fedkd.runtime import flower_internals
from fedkd.runtime.calls import CLIENT_RAISED
from fedkd.runtime.grid import NO_ANSWER

RECORDS = RecordDict(
    {
        "arrays": ArrayRecord({"b": Array(np.arange(3.0)), "a": Array(np.array([1], dtype=np.float16))}),
        "config": ConfigRecord({"z": "word", "round": 3, "on": True, "names": ["x", "y"], "raw": b"\x00"}),
        "metrics": MetricRecord({"loss": 0.5, "counts": [1, 2]}),
    }
)


def test_a_process_that_is_identified_can_make_messages_and_replies() -> None:
    flower_internals.identify(17)
    message = Message(RecordDict(), dst_node_id=5, message_type="train")
    assert (message.metadata.run_id, message.metadata.src_node_id) == (flower_internals.RUN_ID, 17)
    reply = Message(RecordDict(), reply_to=message)
    assert (reply.metadata.src_node_id, reply.metadata.dst_node_id) == (5, 17)
    flower_internals.identify()
    assert TaskIdentity.node_id == flower_internals.SERVER_NODE_ID


def test_a_message_that_is_numbered_is_named_by_its_reply() -> None:
    flower_internals.identify()
    message = Message(RecordDict(), dst_node_id=5, message_type="train")
    flower_internals.number(message, "seven")
    assert message.metadata.message_id == "seven"
    assert Message(RecordDict(), reply_to=message).metadata.reply_to_message_id == "seven"


def test_a_run_that_flower_knows_nothing_of_can_be_described() -> None:
    run = flower_internals.empty_run()
    assert dataclasses.is_dataclass(run)
    assert run.run_id == flower_internals.RUN_ID


def test_records_come_back_as_they_were_and_equal_records_are_equal_bytes() -> None:
    data = flower_internals.serialise(RECORDS)
    back = flower_internals.deserialise(data)
    assert back == RECORDS
    assert list(back.array_records["arrays"]) == ["b", "a"]
    assert flower_internals.serialise(back) == data


def test_the_size_of_a_message_is_that_of_its_serialised_records() -> None:
    assert flower_internals.message_bytes(RECORDS) == len(flower_internals.serialise(RECORDS))


def test_our_error_codes_are_flowers() -> None:
    assert CLIENT_RAISED == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert NO_ANSWER == ErrorCode.REPLY_MESSAGE_UNAVAILABLE


def test_a_grid_must_be_able_to_do_what_ours_can() -> None:
    assert Grid.__abstractmethods__ == {
        "set_run",
        "run",
        "create_message",
        "get_node_ids",
        "push_messages",
        "pull_messages",
        "send_and_receive",
    }
