"""What holds of the grid over Ray's actors: real workers, really killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedkd.runtime.calls import FIRST_NODE
from fedkd.runtime.grid import NO_ANSWER
from fedkd.runtime.ray_grid import RayGrid

pytestmark = pytest.mark.usefixtures("ray_instance")


def make_app() -> ClientApp:
    """Make an app whose one function travels with it to workers that cannot import this file."""
    app = ClientApp()

    @app.train()
    def obey(message: Message, context: Context) -> Message:
        order = str(message.content["order"]["do"])
        if order == "die":
            os._exit(1)
        if order == "hang":
            time.sleep(600)
        if order == "linger":
            time.sleep(0.3)
        seen = int(str(context.state["seen"]["times"])) + 1 if "seen" in context.state else 1
        context.state["seen"] = MetricRecord({"times": seen})
        answer = MetricRecord({"partition": int(context.node_config["partition-id"]), "times": seen})
        content = RecordDict({"answer": answer})
        if order == "lock":
            content["odd"] = ArrayRecord({"array": Array(np.zeros(1))})
            content["odd"]["array"].__dict__["lock"] = threading.Lock()
        return Message(content, reply_to=message)

    return app


@pytest.fixture(scope="module")
def log() -> list[str]:
    return []


@pytest.fixture(scope="module")
def grid(log: list[str], ray_instance: None) -> Iterator[RayGrid]:  # noqa: ARG001  (the workers' Ray)
    with RayGrid(make_app(), 20, {}, num_actors=2, log=log.append) as grid:
        yield grid


def orders(grid: RayGrid, log: list[str], given: dict[int, str]) -> list[Message]:
    """Forget what was before, and order what each client is to do."""
    grid.load_states({})
    log.clear()
    return [
        Message(
            RecordDict({"order": ConfigRecord({"do": do})}),
            dst_node_id=FIRST_NODE + client,
            message_type="train",
        )
        for client, do in given.items()
    ]


def said(replies: list[Message]) -> list[object]:
    return [
        reply.error.reason if reply.has_error() else reply.content["answer"]["partition"] for reply in replies
    ]


def test_a_worker_killed_in_the_middle_of_a_round_changes_nothing_but_the_log(
    grid: RayGrid, log: list[str]
) -> None:
    victim = grid.worker_ids()[0]
    round_ = orders(grid, log, dict.fromkeys(range(20), "linger"))
    killer = threading.Timer(1.0, os.kill, (victim, signal.SIGKILL))
    killer.start()
    replies = list(grid.send_and_receive(round_))
    killer.join()
    assert said(replies) == list(range(20))
    assert {reply.content["answer"]["times"] for reply in replies} == {1}
    assert len(log) == 1
    assert log[0].startswith("worker 0 died")
    assert victim not in grid.worker_ids()


def test_a_client_that_kills_every_worker_is_named_and_the_others_count(
    grid: RayGrid, log: list[str]
) -> None:
    replies = list(grid.send_and_receive(orders(grid, log, {**dict.fromkeys(range(12), "echo"), 5: "die"})))
    assert said(replies) == [0, 1, 2, 3, 4, "its worker died 3 times", 6, 7, 8, 9, 10, 11]
    assert log[-1].endswith("with client 5 in its hands")
    assert sorted(grid.take_changed_states()) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_clients_that_hang_have_failed_by_name_with_those_that_nobody_got_to_and_do_not_block_the_next_round(
    grid: RayGrid, log: list[str]
) -> None:
    grid.worker_ids()  # the workers are there: only the clients' own time counts
    given = {**dict.fromkeys(range(9), "echo"), 0: "hang", 2: "hang"}
    begun = time.monotonic()
    replies = list(grid.send_and_receive(orders(grid, log, given), timeout=5.0))
    assert time.monotonic() - begun < 60  # they hang for ten times as long
    assert said(replies) == ["no answer within 5 s", 1, *["no answer within 5 s"] * 7]
    assert {reply.error.code for reply in replies if reply.has_error()} == {NO_ANSWER}
    assert sorted(line.partition("gave ")[2] for line in log) == [
        f"no answer within 5 s and was replaced, with client {client} in its hands" for client in (0, 2)
    ]
    assert said(list(grid.send_and_receive(orders(grid, log, {0: "echo", 1: "echo"})))) == [0, 1]


def test_a_reply_that_cannot_be_sent_is_its_clients_failure_alone(grid: RayGrid, log: list[str]) -> None:
    given = {**dict.fromkeys(range(9), "echo"), 4: "lock"}
    replies = list(grid.send_and_receive(orders(grid, log, given)))
    assert [client for client, reply in enumerate(replies) if reply.has_error()] == [4]
    assert "returned what cannot be sent" in replies[4].error.reason
    assert log == []


def test_a_round_that_is_broken_off_does_not_get_into_the_next_one(grid: RayGrid, log: list[str]) -> None:
    grid.worker_ids()
    given = {0: "echo", **dict.fromkeys(range(1, 20), "linger")}
    for reply in grid.send_and_receive(orders(grid, log, given)):
        assert said([reply]) == [0]
        break
    assert said(list(grid.send_and_receive(orders(grid, log, {7: "echo", 8: "echo"})))) == [7, 8]


def test_the_next_grid_takes_over_idle_workers_and_a_busy_one_ends_with_its_grid() -> None:
    log: list[str] = []
    with RayGrid(make_app(), 2, {}, num_actors=2, log=log.append) as first:
        before = first.worker_ids()
        assert said(list(first.send_and_receive(orders(first, log, {1: "echo"})))) == [1]
    with RayGrid(make_app(), 2, {}, num_actors=2, log=log.append) as second:
        assert sorted(second.worker_ids()) == sorted(before)
        busy = second.send_and_receive(orders(second, log, {0: "linger", 1: "hang"}))
        assert said([next(iter(busy))]) == [0]
    await_gone_but_one(before)


def await_gone_but_one(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while sum(Path(f"/proc/{pid}").exists() for pid in pids) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
