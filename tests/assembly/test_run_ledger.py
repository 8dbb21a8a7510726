"""Every number of the ledger is the size of a message, serialised here by hand; totals are the methods' formulas."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.proto import recorddict_pb2 as proto

import fedkd
from fedkd.runtime.inline import InlineGrid

K, P, C, ROUNDS = 4, 60, 10, 3
WEIGHTS = 64 * 16 + 16 + 16 * 10 + 10
"""Parameters of the network: 64 pixels, 16 hidden units, 10 classes."""


class Tap(InlineGrid):
    """A grid that writes down every message that passes."""

    passed: ClassVar[list[tuple[str, str, int, RecordDict]]] = []

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        sent = list(messages)
        for message in sent:
            self._note("down", message.metadata.message_type, message.metadata.dst_node_id, message)
        for reply in super().send_and_receive(sent, timeout=timeout):
            self._note("up", reply.metadata.message_type, reply.metadata.src_node_id, reply)
            yield reply

    def _note(self, direction: str, phase: str, node: int, message: Message) -> None:
        self.passed.append((phase, direction, node - 1000, message.content))


@pytest.fixture
def tapped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int, RecordDict]]:
    monkeypatch.setattr("fedkd.runtime.runtimes.inline.InlineGrid", Tap)
    monkeypatch.setattr(Tap, "passed", [])
    return Tap.passed


@pytest.mark.parametrize(
    "method", ["fd", "fedmd", "dsfl", "cfd", "fedgems", "feddf", "fedaux", "fedavg", "local"]
)
def test_every_row_is_the_serialised_size_of_its_message(
    method: str, tapped: list[tuple[str, str, int, RecordDict]], small: tuple[str, ...], tmp_path: Path
) -> None:
    folder = fedkd.run(*small, f"method={method}", output=tmp_path / "run").folder
    rows = [row for row in ledger(folder) if row["phase"] != "once"]
    found = [(row["phase"], row["direction"], row["client"], row["bytes"]) for row in rows]
    by_hand = [
        (phase, direction, client, len(serialised(content))) for phase, direction, client, content in tapped
    ]
    assert sorted(found) == sorted(by_hand)
    assert len(found) == 2 * 2 * 3 * 3  # train and evaluate, down and up, three clients, three rounds


Formula = Callable[[int], int]


@pytest.mark.parametrize(
    ("method", "up", "down"),
    [
        # Each formula gives the payload of a run of R rounds with all K clients, b = 4 bytes a number.
        # Round 1 has no down-link where knowledge is what goes down: nobody has said anything yet.
        ("fd", lambda rounds: rounds * K * C**2 * 4, lambda rounds: (rounds - 1) * K * C**2 * 4),
        ("fedmd", lambda rounds: rounds * K * P * C * 4, lambda rounds: (rounds - 1) * K * P * C * 4),
        ("dsfl", lambda rounds: rounds * K * P * C * 4, lambda rounds: (rounds - 1) * K * P * C * 4),
        ("mhat", lambda rounds: rounds * K * P * C * 4, lambda rounds: (rounds - 1) * K * P * C * 4),
        ("feddf", lambda rounds: rounds * K * WEIGHTS * 4, lambda rounds: rounds * K * WEIGHTS * 4),
        ("cronus", lambda rounds: rounds * K * P * C * 4, lambda rounds: (rounds - 1) * K * P * C * 4),
        ("fedaux", lambda rounds: rounds * K * (WEIGHTS + P) * 4, lambda rounds: rounds * K * WEIGHTS * 4),
        ("fedftg", lambda rounds: rounds * K * WEIGHTS * 4, lambda rounds: rounds * K * WEIGHTS * 4),
        ("fedavg", lambda rounds: rounds * K * WEIGHTS * 4, lambda rounds: rounds * K * WEIGHTS * 4),
        ("local", lambda _: 0, lambda _: 0),
    ],
)
def test_totals_are_the_formulas_of_the_methods(
    method: str, up: Formula, down: Formula, small: tuple[str, ...], tmp_path: Path
) -> None:
    result = fedkd.run(*small, f"method={method}", "clients_per_round=null", output=tmp_path / "run")
    assert result.summary["payload_up"] == up(ROUNDS)
    assert result.summary["payload_down"] == down(ROUNDS)
    for direction in ("up", "down"):
        rows = [
            row for row in ledger(result.folder) if (row["phase"], row["direction"]) == ("train", direction)
        ]
        assert result.summary[f"bytes_{direction}"] == sum(row["bytes"] for row in rows)
        assert result.summary[f"payload_{direction}"] == sum(row["payload"] for row in rows)
        assert all(row["payload"] < row["bytes"] for row in rows)


def test_a_codec_of_half_the_width_halves_the_knowledge_and_leaves_the_rest(
    uninterrupted: Callable[..., Path], small: tuple[str, ...], tmp_path: Path
) -> None:
    full = ledger(uninterrupted("method=dsfl"))
    half = ledger(fedkd.run(*small, "method=dsfl", "method.codec=float16", output=tmp_path / "run").folder)
    for wide, narrow in zip(full, half, strict=True):
        if wide["phase"] == "train" and wide["payload"]:
            assert narrow["payload"] == P * C * 2 == wide["payload"] // 2
            # The names `float32`, `float16` are equally long; the rest is the length that stands before the array.
            assert 0 <= wide["bytes"] - narrow["bytes"] - P * C * 2 <= 16
    assert any(row["payload"] == P * C * 2 for row in half)


def test_only_the_asked_samples_cross(small: tuple[str, ...], tmp_path: Path) -> None:
    given = ("method=dsfl", "method.strategy.samples_per_round=25", "clients_per_round=null")
    summary = fedkd.run(*small, *given, output=tmp_path / "run").summary
    assert summary["payload_up"] == ROUNDS * K * 25 * C * 4
    assert summary["payload_down"] == (ROUNDS - 1) * K * 25 * C * 4


def test_the_proxy_set_is_shipped_once_and_only_where_it_is_needed(
    uninterrupted: Callable[..., Path],
) -> None:
    with_proxy = json.loads((uninterrupted("method=dsfl") / "summary.json").read_text())
    assert with_proxy["bytes_once"] == P * 64 * 4 + P * 8 + P * 8  # images, ids, labels
    without = json.loads((uninterrupted("method=fedavg") / "summary.json").read_text())
    assert without["bytes_once"] == 0


def ledger(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def serialised(content: RecordDict) -> bytes:
    """Write the records of a message as Flower's protocol describes them, without Flower's own code for it."""
    document = proto.RecordDict()
    for name, record in content.items():
        item = document.items.add(key=name)
        if isinstance(record, ArrayRecord):
            for key, array in record.items():
                value = proto.Array(dtype=array.dtype, shape=array.shape, stype=array.stype, data=array.data)
                item.array_record.items.add(key=key, value=value)
            item.array_record.SetInParent()
        elif isinstance(record, MetricRecord):
            for key, number in record.items():
                kind = "sint64" if isinstance(number, int) else "double"
                item.metric_record.items.add(key=key, value=proto.MetricRecordValue(**{kind: number}))
            item.metric_record.SetInParent()
        else:
            assert isinstance(record, ConfigRecord)
            for key, word in record.items():
                item.config_record.items.add(key=key, value=config_value(word))
            item.config_record.SetInParent()
    return document.SerializeToString()


def config_value(word: object) -> proto.ConfigRecordValue:
    if isinstance(word, list):
        if all(isinstance(entry, int) for entry in word):
            return proto.ConfigRecordValue(sint_list=proto.SintList(vals=word))
        return proto.ConfigRecordValue(string_list=proto.StringList(vals=word))
    kinds = {bool: "bool", int: "sint64", float: "double", str: "string"}
    return proto.ConfigRecordValue(**{kinds[type(word)]: word})
