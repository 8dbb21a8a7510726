from flwr.app import ConfigRecord, RecordDict

from fedkd.runtime.flower_internals import serialise
from fedkd.runtime.ledger import Ledger


def test_rows_are_in_one_order_whatever_order_the_messages_had() -> None:
    one, other = (RecordDict({"config": ConfigRecord({"n": number})}) for number in (1, 1000))
    ledger = Ledger()
    for phase, client, direction, said in (
        ("evaluate", 1, "down", one),
        ("train", 2, "up", other),
        ("train", 1, "up", one),
        ("train", 2, "down", one),
        ("train", 1, "down", one),
    ):
        ledger.enter(3, phase, client=client, direction=direction, content=said)
    ledger.ship(40)
    assert ledger.moved("up") == len(serialise(one)) + len(serialise(other))
    assert ledger.moved("down") == 2 * len(serialise(one))
    rows = ledger.take()
    assert [(row["phase"], row["direction"], row["client"]) for row in rows] == [
        ("once", "down", None),
        ("train", "down", 1),
        ("train", "down", 2),
        ("train", "up", 1),
        ("train", "up", 2),
        ("evaluate", "down", 1),
    ]
    assert ledger.take() == []
