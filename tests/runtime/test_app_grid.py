"""What apps of Flower rely on in a grid, over the inline grid, which needs nothing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedkd.runtime.app_grid import AppGrid
from fedkd.runtime.calls import FIRST_NODE
from fedkd.runtime.inline import InlineGrid


class SlowGrid(InlineGrid):
    """An inline grid that notes who was sent together, and at work alone."""

    def __init__(self, app: ClientApp, num_clients: int) -> None:
        super().__init__(app, num_clients, {})
        self.sent: list[int] = []
        self.alone = threading.Lock()

    def carry_out(self, jobs: list, timeout: float | None) -> object:
        self.sent.append(len(jobs))
        assert self.alone.acquire(blocking=False)
        time.sleep(0.1)
        yield from super().carry_out(jobs, timeout)
        self.alone.release()


app = ClientApp()


@app.train()
def count(message: Message, context: Context) -> Message:
    seen = [*context.state["seen"]["each"], 1] if "seen" in context.state else [1]
    context.state["seen"] = MetricRecord({"times": len(seen), "each": seen})
    return Message(RecordDict({"answer": context.state["seen"]}), reply_to=message)


@pytest.fixture
def slow() -> SlowGrid:
    return SlowGrid(app, 20)


@pytest.fixture
def grid(slow: SlowGrid) -> AppGrid:
    return AppGrid(slow)


def message(client: int) -> Message:
    return Message(RecordDict(), dst_node_id=FIRST_NODE + client, message_type="train")


def times(replies: list[Message]) -> list[object]:
    return [reply.content["answer"]["times"] for reply in replies]


def test_replies_can_be_gone_over_twice_and_nothing_waits_until_they_are(grid: AppGrid) -> None:
    replies = grid.send_and_receive(message(client) for client in (2, 0))
    assert len(replies) == 2
    assert times(replies) == times(replies) == [1, 1]
    grid.send_and_receive([message(0)])
    assert times(grid.send_and_receive([message(0)])) == [3]


def test_no_messages_give_no_replies(grid: AppGrid) -> None:
    assert grid.send_and_receive([]) == []
    assert grid.push_messages([]) == []


def test_a_second_message_to_a_node_finds_the_state_that_the_first_left(grid: AppGrid) -> None:
    assert times(grid.send_and_receive([message(client) for client in (0, 1, 0, 0)])) == [1, 1, 2, 3]


def test_messages_have_numbers_of_their_own_by_which_replies_name_them(grid: AppGrid) -> None:
    sent = [message(client) for client in (0, 1, 0)]
    names = grid.push_messages(sent)
    assert names == [one.metadata.message_id for one in sent]
    assert len(set(names)) == 3
    replies = [*grid.pull_messages(names[1:]), *grid.pull_messages(names)]
    assert [reply.metadata.reply_to_message_id for reply in replies] == [*names[1:], names[0]]
    assert len({*names, *(reply.metadata.message_id for reply in replies)}) == 6


def test_what_is_done_to_a_reply_does_not_reach_what_the_client_kept(grid: AppGrid) -> None:
    [reply] = grid.send_and_receive([message(0)])
    reply.content["answer"]["times"] = 100
    reply.content["answer"]["each"].append(1)
    assert times(grid.send_and_receive([message(0)])) == [2]


def test_what_many_threads_send_goes_out_together_and_one_after_the_other(
    slow: SlowGrid, grid: AppGrid
) -> None:
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda client: grid.send_and_receive([message(client)]), range(20)))
    assert [reply.metadata.src_node_id - FIRST_NODE for [reply] in replies] == list(range(20))
    assert sum(slow.sent) == 20
    assert len(slow.sent) <= 3


def test_threads_with_other_timeouts_are_served_apart(slow: SlowGrid, grid: AppGrid) -> None:
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(grid.send_and_receive, [message(0)])
        time.sleep(0.05)
        others = [
            pool.submit(grid.send_and_receive, [message(client)], timeout=5.0 * client) for client in (1, 2)
        ]
    assert [times(one.result()) for one in (first, *others)] == [[1]] * 3
    assert slow.sent == [1, 1, 1]


def test_an_error_is_raised_where_the_messages_were_sent_and_the_grid_goes_on(grid: AppGrid) -> None:
    with pytest.raises(ValueError, match="no node 1020"):
        grid.send_and_receive([message(0), message(20)])
    assert times(grid.send_and_receive([message(0)])) == [1]


def test_nodes_are_those_of_the_grid_as_a_list(grid: AppGrid) -> None:
    assert grid.get_node_ids() == [FIRST_NODE + client for client in range(20)]
    assert [node.node_id for node in grid.get_nodes()] == grid.get_node_ids()
    assert grid.partitions()[3] == FIRST_NODE + 3
