"""What a message says to a client, decoded once for all clients that get the same.

A train message holds `config` (round, keep, forget: the clients that must forget their copies, hold: whether clients must remember the weights
that came, as later ones may come as an update of them), and what the method sends: `weights`, `arrays` + `about` (knowledge), or
`ask` (the ids of the proxy samples that the server wants to hear about). Weights under `arrays` without `about` are
taken as well, as Flower's own strategies send them. A reply holds `arrays` + `about`, and `metrics`.
"""

import functools
from collections.abc import Mapping
from typing import Any

from flwr.app import ArrayRecord, RecordDict
from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge import ABOUT, ARRAYS, Package, from_records
from fedkd.knowledge.arrays import arrays_in, record_of, tensor_of
from fedkd.knowledge.copies import Copies, receive
from fedkd.knowledge.package import codec_of

CONFIG, WEIGHTS, ASK, FORGET, HOLD = "config", "weights", "ask", "forget", "hold"


class Mail:
    """The content of one message; nothing is decoded before it is asked for.

    Args:
        content: the message's records.
    """

    def __init__(self, content: RecordDict) -> None:
        self._content = content
        self._read: dict[bytes, tuple[Package, Copies]] = {}

    @functools.cached_property
    def options(self) -> Mapping[str, Any]:
        """The settings of the round."""
        return dict(self._content.config_records[CONFIG])

    @property
    def round(self) -> int:
        """The number of the round."""
        return int(self.options["server-round"])

    @functools.cached_property
    def package(self) -> Package | None:
        """The knowledge that came, if any, to a client that holds no copies."""
        return from_records(self._content) if ABOUT in self._content else None

    @property
    def refers_to_copies(self) -> bool:
        """Whether what came must be read with the copies of what came before."""
        return ABOUT in self._content and codec_of(self._content).remembers

    def read(self, copies: Copies) -> tuple[Package, Copies]:
        """Return the knowledge that came to a client with these copies, and its copies from then on.

        Clients that hold the same are given the same objects.
        """
        digest = copies.digest()
        if digest not in self._read:
            self._read[digest] = receive(self._content, copies)
        return self._read[digest]

    @property
    def forgetful(self) -> frozenset[int]:
        """The clients that must forget their copies, since the server did."""
        return frozenset(int(client) for client in self.options.get(FORGET, []))

    @functools.cached_property
    def weights(self) -> Mapping[str, Tensor] | None:
        """The weights that came, if any."""
        record = arrays_in(self._content, WEIGHTS)
        if record is None and ABOUT not in self._content:
            record = arrays_in(self._content, ARRAYS)
        return None if record is None else decode(record)

    @functools.cached_property
    def asked(self) -> Int[Tensor, " n"] | None:
        """The ids of the proxy samples that the server asks about; none is all."""
        record = arrays_in(self._content, ASK)
        return None if record is None else tensor_of(record["ids"])


def decode(record: ArrayRecord) -> dict[str, Tensor]:
    """Return the tensors of a record, in memory of their own."""
    return {name: tensor_of(array) for name, array in record.items()}


def encode(weights: Mapping[str, Tensor]) -> ArrayRecord:
    """Return a record of tensors, in memory of its own."""
    return record_of({name: tensor.detach().cpu().numpy().copy() for name, tensor in weights.items()})
