"""What holds of the grids that are ours, on the one that needs nothing: the inline grid."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedkd.runtime.calls import CLIENT_RAISED, FIRST_NODE
from fedkd.runtime.inline import InlineGrid

app = ClientApp()


@app.train()
def count(message: Message, context: Context) -> Message:
    """Answer with the partition and how often this client was asked, and meddle with what it got."""
    seen = int(str(context.state["seen"]["times"])) + 1 if "seen" in context.state else 1
    context.state["seen"] = MetricRecord({"times": seen})
    arrived = sorted(message.content)
    message.content["mine"] = ConfigRecord({"meddled": True})
    answer = MetricRecord({"partition": int(context.node_config["partition-id"]), "times": seen})
    about = ConfigRecord({"arrived": arrived, "word": context.run_config["word"]})
    return Message(RecordDict({"answer": answer, "about": about}), reply_to=message)


@app.train("fail")
def fail(message: Message, context: Context) -> Message:
    """Change what it kept in place, then fail."""
    del message
    context.state["seen"]["times"] = 100
    raise ValueError("on purpose")


@app.train("nothing")
def nothing(message: Message, context: Context) -> None:
    """Return nothing at all."""
    del message, context


@app.train("elsewhere")
def elsewhere(message: Message, context: Context) -> Message:
    """Return a message of its own instead of a reply."""
    del message, context
    return Message(RecordDict(), dst_node_id=1, message_type="train")


@app.train("lose")
def lose(message: Message, context: Context) -> Message:
    """Put something in the place of its state."""
    context.state = None
    return Message(RecordDict(), reply_to=message)


@pytest.fixture
def grid() -> InlineGrid:
    return InlineGrid(app, 3, {"word": "hello"})


def messages(clients: list[int], kind: str = "train", content: RecordDict | None = None) -> list[Message]:
    shared = RecordDict() if content is None else content
    return [Message(shared, dst_node_id=FIRST_NODE + client, message_type=kind) for client in clients]


def test_replies_come_in_the_order_of_the_messages(grid: InlineGrid) -> None:
    replies = list(grid.send_and_receive(messages([2, 0, 1])))
    assert [reply.content["answer"]["partition"] for reply in replies] == [2, 0, 1]
    assert [reply.metadata.src_node_id - FIRST_NODE for reply in replies] == [2, 0, 1]
    assert replies[0].content["about"]["word"] == "hello"


def test_nodes_are_the_partitions_in_order(grid: InlineGrid) -> None:
    assert list(grid.get_node_ids()) == [1000, 1001, 1002]
    assert grid.partitions() == {0: 1000, 1: 1001, 2: 1002}


def test_messages_that_are_pushed_are_pulled_once_by_name(grid: InlineGrid) -> None:
    first = list(grid.push_messages(messages([0, 1])))
    second = list(grid.push_messages(messages([2])))
    assert len({*first, *second}) == 3
    assert [reply.content["answer"]["partition"] for reply in grid.pull_messages([second[0], first[1]])] == [
        2,
        1,
    ]
    assert list(grid.pull_messages(second)) == []
    third = list(grid.push_messages(messages([1])))
    assert set(third).isdisjoint(first)
    assert [reply.content["answer"]["partition"] for reply in grid.pull_messages([*first, *third])] == [0, 1]


def test_a_message_to_a_node_that_is_not_there_is_refused_before_anybody_works(grid: InlineGrid) -> None:
    with pytest.raises(ValueError, match="no node 1003: this grid has 3 nodes from 1000"):
        list(grid.send_and_receive(messages([0, 3])))
    [reply] = grid.send_and_receive(messages([0]))
    assert reply.content["answer"]["times"] == 1


def test_a_message_made_by_the_grid_is_flowers_own(grid: InlineGrid) -> None:
    message = grid.create_message(RecordDict(), "train", FIRST_NODE, "group", ttl=60.0)
    [reply] = grid.send_and_receive([message])
    assert (message.metadata.group_id, message.metadata.ttl) == ("group", 60.0)
    assert reply.metadata.message_type == "train"


def test_what_clients_keep_is_theirs_and_is_taken_up_by_another_grid(grid: InlineGrid) -> None:
    list(grid.send_and_receive(messages([0, 1])))
    list(grid.send_and_receive(messages([1])))
    changed = grid.take_changed_states()
    assert {client: state["seen"]["times"] for client, state in changed.items()} == {0: 1, 1: 2}
    assert grid.take_changed_states() == {}
    other = InlineGrid(app, 3, {"word": "hello"})
    other.load_states(changed.items())
    replies = other.send_and_receive(messages([0, 1, 2]))
    assert [reply.content["answer"]["times"] for reply in replies] == [2, 3, 1]


def test_what_a_client_does_to_its_message_reaches_nobody_else(grid: InlineGrid) -> None:
    content = RecordDict({"arrays": ArrayRecord({"x": Array(np.zeros(2))})})
    replies = list(grid.send_and_receive(messages([0, 1], content=content)))
    assert [reply.content["about"]["arrived"] for reply in replies] == [["arrays"], ["arrays"]]
    assert list(content) == ["arrays"]


def test_a_client_that_raises_gives_its_reason_and_keeps_what_it_had(grid: InlineGrid) -> None:
    list(grid.send_and_receive(messages([0, 1])))
    good, bad = grid.send_and_receive([*messages([0]), *messages([1], "train.fail")])
    assert good.content["answer"]["times"] == 2
    assert (bad.error.code, bad.error.reason) == (CLIENT_RAISED, "ValueError: on purpose")
    [again] = grid.send_and_receive(messages([1]))
    assert again.content["answer"]["times"] == 2


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("train.nothing", "returned NoneType, expected a Message"),
        ("train.elsewhere", "returned Message, expected a Message in reply"),
        ("train.lose", "left a NoneType as its state"),
        ("evaluate", "No evaluate function registered"),
    ],
)
def test_a_client_that_answers_with_something_else_has_failed(
    grid: InlineGrid, kind: str, reason: str
) -> None:
    bad, good = grid.send_and_receive([*messages([0], kind), *messages([1])])
    assert reason in bad.error.reason
    assert bad.metadata.src_node_id == FIRST_NODE
    assert good.has_content()
    assert 0 not in grid.take_changed_states()
