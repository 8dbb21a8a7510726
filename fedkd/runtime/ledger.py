"""What every message of a round weighs.

>>> ledger = Ledger()
>>> ledger.enter(1, "train", client=3, direction="up", content=reply.content)
>>> ledger.moved("up")
18_034
"""

from typing import Literal

from flwr.app import RecordDict

from fedkd.foundation.errors import FedkdError
from fedkd.foundation.run_folder import LedgerRow
from fedkd.knowledge.package import payload_of
from fedkd.runtime.flower_internals import message_bytes

Phase = Literal["train", "evaluate"]
Direction = Literal["up", "down"]

_PHASES = ("once", "query", "train", "evaluate")


class Ledger:
    """The messages since the last round was recorded."""

    def __init__(self) -> None:
        self._rows: list[LedgerRow] = []
        # What many clients are sent is one object, and is measured once; it is kept here so that its id stays its own.
        self._measured: dict[int, tuple[RecordDict, int, int]] = {}

    def ship(self, size: int) -> None:
        """Enter something that every client gets once, before the first round."""
        self._rows.append(
            LedgerRow(round=0, phase="once", client=None, direction="down", bytes=size, payload=size)
        )

    def enter(
        self,
        round: int,  # noqa: A002  (the field's word)
        phase: Phase,
        *,
        client: int,
        direction: Direction,
        content: RecordDict,
    ) -> None:
        """Enter one message."""
        if direction == "down":
            if id(content) not in self._measured:
                self._measured[id(content)] = (content, message_bytes(content), _payload(content))
            _, size, payload = self._measured[id(content)]
        else:
            size, payload = message_bytes(content), _payload(content)
        self._rows.append(
            LedgerRow(
                round=round, phase=phase, client=client, direction=direction, bytes=size, payload=payload
            )
        )

    def moved(self, direction: Direction) -> int:
        """Return the bytes of training messages in one direction."""
        return sum(
            row["bytes"] for row in self._rows if row["phase"] == "train" and row["direction"] == direction
        )

    def take(self) -> list[LedgerRow]:
        """Return all rows, ordered by phase, direction and client whatever order the messages had, and forget them."""
        rows, self._rows = self._rows, []
        self._measured.clear()
        return sorted(
            rows,
            key=lambda row: (
                _PHASES.index(row["phase"]),
                row["direction"] == "up",
                -1 if row["client"] is None else row["client"],
            ),
        )


def _payload(content: RecordDict) -> int:
    """Return the size of what a message says; 0 where a client says what nobody can read."""
    try:
        return payload_of(content)
    except (FedkdError, ArithmeticError, LookupError, TypeError, ValueError):
        return 0
