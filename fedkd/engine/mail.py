"""What a message says to a client, decoded once for all clients that get the same.

A train message holds `config` (round, keep), and what the method sends: `weights`, `arrays` + `about` (knowledge), or
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

CONFIG, WEIGHTS, ASK = "config", "weights", "ask"


class Mail:
    """The content of one message; nothing is decoded before it is asked for.

    Args:
        content: the message's records.
    """

    def __init__(self, content: RecordDict) -> None:
        self._content = content

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
        """The knowledge that came, if any."""
        return from_records(self._content) if ABOUT in self._content else None

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
