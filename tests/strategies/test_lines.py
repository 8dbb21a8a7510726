from collections.abc import Mapping
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict

from fedkd.data.samples import Samples
from fedkd.engine.mail import FORGET
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, from_records
from fedkd.knowledge.codecs.delta import Delta
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.copies import Copies, receive, send
from fedkd.knowledge.package import payload_of
from fedkd.models.logistic import Logistic
from fedkd.strategies import CoDistillationStrategy
from fedkd.strategies._lines import Lines

IDS = torch.tensor([4, 1, 8])


def said(*values: float) -> Package:
    return Package("logits", {"values": torch.tensor(values).float()[:, None].expand(-1, 2)}, ids=IDS)


def crossed(records: Mapping[str, Any]) -> RecordDict:
    return RecordDict({**records})


def heard(lines: Lines, client: int, package: Package, held: Copies) -> Copies:
    records, held = send(package, Delta(), held)
    lines.up(client, crossed(records))
    return held


def test_without_memory_all_clients_are_sent_one_object_and_nothing_is_held() -> None:
    lines = Lines(Float32(), Float32())
    records = lines.down(said(1, 2, 3), [0, 5])
    lines.settle([5])
    assert records[0] is records[5]
    assert lines.state() == {}
    assert lines.options([0, 5]) == {}
    assert not lines.down(None, [0])[0]


def test_clients_that_heard_the_same_are_sent_the_same_and_others_what_they_lack() -> None:
    lines = Lines(Float32(), Delta())
    lines.down(said(1, 2, 3), [0, 1])
    lines.settle([0, 1])
    records = lines.down(said(1, 2, 4), [0, 1, 2])
    assert records[0] is records[1]
    assert payload_of(crossed(records[0])) == 1 + 8
    assert payload_of(crossed(records[2])) == 1 + 24
    assert torch.equal(from_records(crossed(records[2])).values, said(1, 2, 4).values)


def test_a_client_that_failed_forgets_both_directions_and_starts_anew() -> None:
    lines, nothing = Lines(Delta(), Delta()), Copies.none()
    lines.down(said(1, 2, 3), [0, 1])
    for client in (0, 1):
        heard(lines, client, said(5, 6, 7), nothing)
    lines.settle([0])  # what client 1 said was of no use
    assert lines.options([0]) == {}
    assert lines.options([0, 1]) == {FORGET: [1]}
    records = lines.down(said(1, 2, 3), [0, 1])
    assert [payload_of(crossed(records[client])) for client in (0, 1)] == [1, 1 + 24]
    with pytest.raises(ValueError, match="not here"):
        heard(lines, 1, said(5, 6, 7), heard(Lines(Delta(), Delta()), 1, said(5, 6, 7), nothing))
    heard(lines, 1, said(5, 6, 7), nothing)
    lines.settle([0, 1])
    assert lines.options([0, 1]) == {}


def test_a_client_that_is_absent_after_it_failed_is_told_when_it_comes_back() -> None:
    lines = Lines(Delta(), Delta())
    lines.down(None, [3])
    lines.settle([])
    lines.down(None, [0])
    lines.settle([0])
    assert lines.options([3]) == {FORGET: [3]}


def test_lines_that_are_restarted_send_the_same_bytes() -> None:
    lines, nothing = Lines(Delta(), Delta()), Copies.none()
    lines.down(said(1, 2, 3), [0, 1, 2])
    held = {client: heard(lines, client, said(client, 6, 7), nothing) for client in (0, 1)}
    lines.settle([0, 1])
    again = Lines(Delta(), Delta())
    again.load_state(lines.state())
    assert again.options([2]) == lines.options([2]) == {FORGET: [2]}
    first, second = (one.down(said(1, 2, 4), [0, 1, 2]) for one in (lines, again))
    assert second[0] is second[1]
    for client in (0, 1, 2):
        values = [one[client]["arrays"]["values"].data for one in (first, second)]  # type: ignore[index,union-attr]
        assert values[0] == values[1]
    records, _ = send(said(0, 6, 8), Delta(), held[0])
    assert torch.equal(again.up(0, crossed(records)).values, said(0, 6, 8).values)


def test_a_round_sends_differences_down_and_reads_differences_that_come_up(
    grid_saying: Any, play: Any
) -> None:
    """One client says the same in both rounds; its second answer is one byte for three samples of which none has changed."""
    held = {"up": Copies.none(), "down": Copies.none()}
    sizes: list[int] = []

    def say(_: int, content: RecordDict) -> RecordDict:
        if "arrays" in content:
            _, held["down"] = receive(content, held["down"])
        records, held["up"] = send(said(1, 2, 3), Delta(), held["up"])
        sizes.append(payload_of(crossed(records)))
        return RecordDict({**records, "metrics": MetricRecord({"num-examples": 1})})

    with Streams(0).initialising("test"):
        student = Logistic().network((3,), 2)
    proxy = Samples({"x": torch.eye(3)}, torch.tensor([0, 1, 0]), IDS)
    strategy = CoDistillationStrategy(student=student, proxy=proxy, codec=Delta())
    game = play(strategy, grid_saying(say, 1), ArrayRecord(student.state_dict()))
    down = [payload_of(game.round().down[0]) for _ in range(3)]
    assert sizes == [1 + 24, 1, 1]
    assert down == [0, 1 + 24, 1]
    assert torch.equal(held["down"].values, said(2, 1, 3).values)  # sorted by id
    assert strategy.failures == []
